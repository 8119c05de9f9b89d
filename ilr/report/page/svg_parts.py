"""What the drawing of a figure may be made of. Whatever else an SVG file holds, no figure needs."""

# fmt: off
ELEMENTS = frozenset((
    "circle", "clipPath", "defs", "desc", "ellipse", "g", "image", "line", "linearGradient", "path", "pattern",
    "polygon", "polyline", "radialGradient", "rect", "stop", "svg", "text", "title", "tspan", "use",
))
# fmt: on
"""By name; all of them shapes, text, or what these refer to."""
DROPPED = frozenset(("metadata", "style"))
"""Left out in silence. A style sheet would reach over the whole page, whose own says what matplotlib's does."""
# fmt: off
ATTRIBUTES = frozenset((
    "class", "clip-path", "clip-rule", "clipPathUnits", "cx", "cy", "d", "dx", "dy", "fill", "fill-opacity",
    "fill-rule", "font-family", "font-size", "font-style", "font-weight", "fx", "fy", "gradientTransform",
    "gradientUnits", "height", "href", "id", "offset", "opacity", "patternContentUnits", "patternTransform",
    "patternUnits", "points", "preserveAspectRatio", "r", "rx", "ry", "stop-color", "stop-opacity", "stroke",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "style", "text-anchor", "transform", "version", "viewBox", "width", "x", "x1",
    "x2", "y", "y1", "y2",
))
# fmt: on
"""Of any element."""
# fmt: off
PROPERTIES = frozenset((
    "clip-path", "clip-rule", "fill", "fill-opacity", "fill-rule", "font", "font-family", "font-size",
    "font-stretch", "font-style", "font-variant", "font-weight", "image-rendering", "mix-blend-mode", "opacity",
    "stop-color", "stop-opacity", "stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap",
    "stroke-linejoin", "stroke-miterlimit", "stroke-opacity", "stroke-width", "text-anchor", "writing-mode",
))
# fmt: on
"""Of a style."""
