"""What is to be drawn, as plain data, and the renderers that draw it."""
