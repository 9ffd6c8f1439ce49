"""Indicators: figures of a standard that are worked out from records, with nothing learnt."""
