"""Expression: equal to scikit-learn's, numpy's and pandas' own, whatever the shards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from medray.engine.quality.expression import (
    clusters,
    correlation,
    log_cpm,
    matrix,
    principal_components,
    totals,
    variability,
)
from medray.errors import SpecError
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample

Make = Callable[[str, list[Sample]], Dataset]


def counts(samples: int = 90, genes: int = 40) -> np.ndarray:
    generator = np.random.default_rng(0)
    rate = generator.gamma(1.0, 3.0, genes) * generator.gamma(4.0, 0.3, (samples, 1))
    rate[: samples // 3, :5] *= 6
    drawn = generator.poisson(rate).astype(np.float32)
    drawn[:, 7:8] = 0
    return drawn


def lazy(values: np.ndarray, rows: int = 17) -> Any:
    return da.from_array(values, chunks=(rows, -1))  # type: ignore[no-untyped-call]


def test_a_datasets_samples_as_one_array(make_dataset: Make) -> None:
    values = counts(6, 5)
    samples = [Sample(f"s{n}", {}, {} if n == 2 else {"features": values[n]}) for n in range(6)]
    data = make_dataset("cells", samples)
    wanted = values.copy()
    wanted[2] = np.nan
    np.testing.assert_array_equal(matrix(data).compute(), wanted)
    np.testing.assert_array_equal(matrix(data, indices=[1, 3, 5]).compute(), wanted[1::2])
    with pytest.raises(SpecError, match="no-features"):
        matrix(data, "other")
    with pytest.raises(SpecError, match="nothing-selected"):
        matrix(data, indices=[])


def test_totals_and_normalisation() -> None:
    values = counts()
    values[4] = 0
    marked = np.arange(40) < 3
    found = totals(lazy(values), marked)
    np.testing.assert_array_equal(found.library, values.sum(1))
    np.testing.assert_array_equal(found.detected, (values > 0).sum(1))
    np.testing.assert_array_equal(found.cells, (values > 0).sum(0))
    np.testing.assert_allclose(found.marked[:4], values[:4, :3].sum(1) / values[:4].sum(1))
    assert found.marked[4] == 0
    logged = log_cpm(lazy(values), found.library, 1e4).compute()
    np.testing.assert_allclose(np.expm1(np.delete(logged, 4, 0)).sum(1), 1e4, rtol=1e-5)
    assert not logged[4].any()


def test_variability_equals_scanpys_recipe() -> None:
    logged = np.log1p(counts())
    found = variability(lazy(logged))
    plain = np.expm1(logged.astype(np.float64))
    mean = plain.mean(0)
    mean[mean == 0] = 1e-12
    dispersion = plain.var(0, ddof=1) / mean
    dispersion[dispersion == 0] = np.nan
    frame = pd.DataFrame({"mean": np.log1p(mean), "dispersion": np.log(dispersion)})
    frame["bin"] = pd.cut(frame["mean"], bins=20)
    of_bin = frame.groupby("bin", observed=True)["dispersion"]
    centre, spread = of_bin.transform("mean"), of_bin.transform("std")
    wanted = ((frame["dispersion"] - centre) / spread).to_numpy()
    alone = spread.isna().to_numpy() & frame["dispersion"].notna().to_numpy()
    wanted[alone] = 1.0
    np.testing.assert_allclose(found.normalised, wanted, rtol=1e-6)
    assert np.isnan(found.normalised[7])
    assert 7 not in found.top(40)
    assert len(set(found.top(8)) & set(range(5))) >= 3


def test_components_equal_scikit_learns() -> None:
    logged = np.log1p(counts()).astype(np.float32)
    found = principal_components(lazy(logged), 4)
    exact = PCA(4, svd_solver="full").fit(logged.astype(np.float64))
    np.testing.assert_allclose(found.explained, exact.explained_variance_ratio_, rtol=2e-3)
    turned = np.abs(np.sum(found.loadings * exact.components_, axis=1))
    np.testing.assert_allclose(turned[:2], 1, atol=1e-3)
    again = principal_components(lazy(logged, 90), 4)
    np.testing.assert_allclose(again.coordinates[:, :2], found.coordinates[:, :2], atol=0.05)
    assert (found.loadings[np.arange(4), np.abs(found.loadings).argmax(1)] > 0).all()
    few = principal_components(lazy(logged[:3]), 10)
    assert few.coordinates.shape == (3, 3)


@pytest.mark.parametrize("block", [7, 40, 1024])
def test_correlation_of_genes(block: int) -> None:
    values = counts()
    got = correlation(lazy(values), block)
    if block == 7:
        assert got.chunks[0][0] == 7
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = np.corrcoef(values.T)
    np.testing.assert_allclose(got.compute(), wanted, atol=1e-6)


@pytest.mark.parametrize("tree", [False, True])
def test_clusters_are_found_and_named_by_size(tree: bool) -> None:
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], (30, 50, 20))
    centres = np.array([[0.0, 0], [9, 0], [0, 9]])
    got = clusters(centres[truth] + generator.normal(0, 1, (100, 2)), 3, tree=tree)
    np.testing.assert_array_equal(got, np.array([1, 0, 2])[truth])
    with pytest.raises(SpecError, match="too-many-clusters"):
        clusters(centres, 4, tree=tree)


def test_cell_types_fall_apart(data_dir: Path) -> None:
    from sklearn.metrics import adjusted_rand_score

    from medray.formats.base import Source
    from medray.formats.expression import Expression

    form = Expression(Expression.Options(layer="raw"))  # type: ignore[call-arg]
    source = Source(data_dir / "genomics/single_cell/pbmc68k_reduced.h5ad")
    found = [
        one for group in form.plan(source).groups for i in group for one in form.read(source, i)
    ]
    cells = [one for one in found if isinstance(one, Sample)]
    logged = np.stack([np.asarray(one.arrays["features"]) for one in cells])
    kinds = [one.row["louvain"] for one in cells]
    chosen = variability(lazy(logged, 200)).top(400)
    components = principal_components(lazy(logged[:, np.sort(chosen)], 200), 20)
    got = clusters(components.coordinates, 8)
    assert adjusted_rand_score(kinds, got) > 0.4
