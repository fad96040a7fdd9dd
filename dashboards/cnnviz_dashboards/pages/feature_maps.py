"""The page of feature maps."""

from cnnviz_dashboards.pages.plot_page import PlotPage

PAGE = PlotPage(
    key="feature-maps",
    title="Feature maps",
    about="What each layer makes of one image, and what the network then answers, at this step of its training.",
    plots=("feature_maps", "probabilities"),
)
