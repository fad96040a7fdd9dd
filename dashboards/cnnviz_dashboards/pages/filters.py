"""The page of filters."""

from cnnviz_dashboards.pages.plot_page import PlotPage

PAGE = PlotPage(
    key="filters",
    title="Filters",
    about="The weights that a convolution slides over its input: red adds, blue subtracts, white ignores. "
    "The colours mean the same at every step. Drag the timeline to watch them form.",
    plots=("filters",),
)
