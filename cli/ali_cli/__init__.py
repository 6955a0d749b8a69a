"""The command line of ali-plugin: one module per command, no logic of its own."""
