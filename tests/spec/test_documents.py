"""YAML files: bounded, safe, with variables filled in, and refused with the place named."""

from pathlib import Path

import pytest

from medray.errors import SpecError
from medray.spec.documents import expand, read_documents


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return path


def refused(tmp_path: Path, text: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        read_documents(written(tmp_path, text))
    return caught.value


def test_documents_in_order_and_empty_ones_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "kind: a\n---\n---\nkind: b\n")
    assert read_documents(path) == [{"kind": "a"}, {"kind": "b"}]


def test_variables_and_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACE", "/data")
    monkeypatch.delenv("ABSENT", raising=False)
    path = written(tmp_path, "a: ${PLACE}/ct\nb: ['${ABSENT:-x y}']\nc: ${ABSENT:-}\nd: 3\n")
    (kept,) = read_documents(path)
    assert kept == {"a": "${PLACE}/ct", "b": ["${ABSENT:-x y}"], "c": "${ABSENT:-}", "d": 3}
    assert expand(kept, "") == {"a": "/data/ct", "b": ["x y"], "c": "", "d": 3}


def test_a_variable_never_adds_structure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACE", "x\nkind: export")
    (kept,) = read_documents(written(tmp_path, "a: ${PLACE}"))
    assert expand(kept, "") == {"a": "x\nkind: export"}


def test_unset_variable_is_named_with_its_place(tmp_path: Path) -> None:
    error = refused(tmp_path, "kind: a\n---\nformat: {path: [1, '${MEDRAY_NOWHERE}']}\n")
    assert error.code == "unset-variable"
    assert "MEDRAY_NOWHERE" in error.message
    assert error.about.endswith("job.yaml, document 2, format.path.1")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "bad-yaml"),
        ("a: !!python/object/apply:os.system ['true']", "bad-yaml"),
        ("a: 1\na: 2\n", "duplicate-key"),
        ("x:\n  a: 1\n  b: 1\n  a: 2\n", "duplicate-key"),
        ("- 1\n", "not-a-mapping"),
        ("", "bad-yaml"),
        ("a: " + "[" * 1000, "bad-yaml"),
        ("a: 2026-99-99\n", "bad-yaml"),
        ("a: \x00", "bad-yaml"),
    ],
)
def test_refusals(tmp_path: Path, text: str, code: str) -> None:
    assert refused(tmp_path, text).code == code


def test_a_variable_in_a_flow_needs_quotes_and_the_hint_says_so(tmp_path: Path) -> None:
    error = refused(tmp_path, "a: [${HOME}]")
    assert "quote" in error.hint


def test_alias_bomb(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert refused(tmp_path, "\n".join(lines)).code == "file-too-large"


def test_too_many_aliases(tmp_path: Path) -> None:
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * 101) + "]"
    assert refused(tmp_path, text).code == "bad-yaml"


def test_large_files_are_not_parsed(tmp_path: Path) -> None:
    assert refused(tmp_path, "#" * (2**20 + 1)).code == "file-too-large"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_documents(tmp_path / "absent.yaml")


def test_expand_takes_any_environment() -> None:
    assert expand("${A}-${B:-b}", "here", {"A": "1"}) == "1-b"
