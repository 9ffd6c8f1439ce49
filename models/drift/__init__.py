"""Live skill once labels arrive; drift of inputs and scores until then."""
