theme();
({ run: showRun, comparison: showComparison })[data.kind]();
document.addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(startPlots)));
