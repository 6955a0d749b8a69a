"use strict";
for (const timeline of document.querySelectorAll(".timeline")) {
  const frames = [...timeline.querySelectorAll(".frame")];
  const slider = timeline.querySelector("input");
  const play = timeline.querySelector("button");
  if (!slider) continue;
  let timer = 0;

  const show = () => {
    frames.forEach((frame, index) => { frame.hidden = index !== Number(slider.value); });
    const step = frames[slider.value].dataset.step;
    timeline.querySelector("output").textContent = step;
    slider.setAttribute("aria-valuetext", step);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "\u25B6";
  };
  const advance = () => {
    slider.value = Number(slider.value) + 1;
    show();
    if (slider.value === slider.max) stop();
  };

  slider.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    show();
    play.textContent = "\u23F8";
    timer = setInterval(advance, 400);
  });
  show();
}
