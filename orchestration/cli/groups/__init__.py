"""Commands by what they are for; `orchestration.cli.main` brings them together."""
