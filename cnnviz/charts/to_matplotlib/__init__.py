"""Charts as matplotlib figures, for paper and for exported films.

One function a kind of panel draws it once and returns what moves in a film, with the function that moves it.
Figures are made without pyplot, and settings hold only while a figure is made or drawn.
"""

from cnnviz.charts.to_matplotlib.drawing import Animator, figure, save

__all__ = ["Animator", "figure", "save"]
