"""Decisions by rule: a lot's sample, a cell beside its peers, a row's class; nothing is learnt."""
