"""`glm ask --each FILE`: one model, many prompts, an answer a line.

`options` is what the command gets, `lines` what a file brings, `tasks` what a line asks for with
`filling`, `together` and `servers` the two ways to an answer, `results` what is written, `done`
what an earlier run wrote, `run` all of them in turn. Nothing of it is in the history.
"""
