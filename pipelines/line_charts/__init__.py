"""Control charts of a whole line: thousands of points by the minute, charted and brought to few causes."""
