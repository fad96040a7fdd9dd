"""The page of error rates."""

from cnnviz_dashboards.pages.plot_page import PlotPage

PAGE = PlotPage(
    key="errors",
    title="Errors",
    about="The share of images that the network gets wrong. The training error is the mean over the epoch so far, "
    "with dropout on; the validation error is measured on images that it never trains on. Click to go there.",
    plots=("errors",),
)
