"""From what a solution says to what reaches the line: modes, limits and an audit that is only appended to."""
