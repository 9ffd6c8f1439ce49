"""Screens: which of many good ones is too far from its peers to be one of them."""
