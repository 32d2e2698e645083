"""`python -m imagebatch_cli`."""

from imagebatch_cli.main import main

main()
