"""A Hugging Face Hub on this machine, for tests that push and pull with the real client over real HTTP.

Read it in the order a request travels:

- `server`: sockets, faults on the wire, the command line (`python -m hub.server --root DIR`);
- `wire`, `routing`: requests, responses and refusals as values; which function answers which path;
- `repositories`, `contents`, `publishing`, `uploads`, `downloads`: the Hub's endpoints;
- `card`: what the Hub demands of a model card;
- `hub`: who may do what; `store`, `blobs`: what is kept on disk;
- `faults`, `control`: how a test makes the server misbehave and asks what it saw;
- `client`, `fixtures`: the other side of the wire, for tests.
"""
