"""The pages, one file each; this table is the order of the navigation."""

from cnnviz_dashboards.pages import errors, feature_maps, filters
from cnnviz_dashboards.pages.plot_page import PlotPage

RUN_PAGES: dict[str, PlotPage] = {page.key: page for page in (errors.PAGE, filters.PAGE, feature_maps.PAGE)}
"""The pages of a run by their place in the address."""
