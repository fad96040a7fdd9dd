"""The Dash application that browses runs over time."""

from cnnviz_dashboards.app import create_app

__all__ = ["create_app"]
