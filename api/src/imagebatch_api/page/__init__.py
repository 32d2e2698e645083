"""The page for people, at `/` and under `/page/`: rendered here, made livelier by the scripts in `static/`.

It works without a script, too, but for tokens and for what only a script can do, preview and slider. With one
it is a client of the API like others. docs/page.md shows it.
"""
