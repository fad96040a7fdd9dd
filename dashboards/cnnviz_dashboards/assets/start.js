window.cnnviz.watchPage();

// The chosen sample may lie where its strip is not scrolled to when the page appears.
new MutationObserver(() => {
  const strip = document.querySelector(".cd-strip:not([data-shown])");
  const chosen = strip?.querySelector(".cd-sample[aria-checked='true']");
  if (!chosen) return;
  strip.dataset.shown = "";
  const beyond = chosen.getBoundingClientRect().right - strip.getBoundingClientRect().right;
  if (beyond > 0) strip.scrollLeft += beyond + strip.clientWidth / 2;
}).observe(document.documentElement, { subtree: true, childList: true });
