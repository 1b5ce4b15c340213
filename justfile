# just check, fix, test, docs, bench

default: check test

check:
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    python docs/build.py --check
    python .ci/budgets.py

fix:
    ruff check --fix .
    ruff format .

test *ARGS:
    pytest {{ARGS}}

# the quick part: no model, no pseudo-terminal
quick:
    pytest -m "not model and not pty"

docs:
    python docs/build.py

bench NAME *ARGS:
    python bench/{{NAME}}.py {{ARGS}}
