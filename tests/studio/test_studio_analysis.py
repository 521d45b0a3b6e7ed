"""The analysis of a model: the trainer's figures at any thresholds, and the images behind each of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from recorded_run import LABELS, make_run
from sklearn.metrics import matthews_corrcoef

from bundle.manifest import Task
from studio.analysis.browser import Filter, Order, Show, csv_lines, page
from studio.analysis.compare import compare, mcnemar
from studio.analysis.label_issues import confident_suspects, label_issues
from studio.analysis.measured import confusion, measure
from studio.analysis.scores import Model, ModelCache, Scored
from studio.analysis.thresholds import chosen_thresholds, clicked_threshold, curve_of, drawn
from studio.errors import Conflict, Invalid, NotFound
from trainer.data.split import Split
from trainer.statistics.splits import Settings, decisions


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {task: make_run(root / task.value, task) for task in Task}


@pytest.fixture(params=list(Task), ids=lambda task: task.value)
def model(request: pytest.FixtureRequest, folders: dict[Task, Path]) -> Model:
    return Model(folders[request.param], "best")


@pytest.fixture
def single(folders: dict[Task, Path]) -> Scored:
    return Model(folders[Task.SINGLE_LABEL], "best").scored(Split.TEST)


@pytest.fixture
def multi(folders: dict[Task, Path]) -> Scored:
    return Model(folders[Task.MULTI_LABEL], "best").scored(Split.TEST)


@pytest.mark.parametrize("split", list(Split))
def test_at_the_models_own_thresholds_the_figures_are_those_of_its_statistics(model: Model, split: Split) -> None:
    scored = model.scored(split)
    stored = model.statistics.splits[split.value]
    found = measure(scored, scored.default_thresholds)
    assert found.images == stored.images
    for name, value in found.metrics.items():
        assert value == pytest.approx(stored.metrics[name].value, rel=1e-5, abs=1e-6), name
    for mine, theirs in zip(found.classes, stored.classes, strict=True):
        assert mine.model_dump(exclude={"label", "average_precision"}) == pytest.approx(
            theirs.model_dump(exclude={"label", "average_precision"}), rel=1e-5, abs=1e-6
        )
    for name, average in found.averages.items():
        assert average.model_dump() == pytest.approx(stored.averages[name].model_dump(), rel=1e-5, abs=1e-6)


def test_best_and_last_are_two_models(folders: dict[Task, Path]) -> None:
    best, last = (Model(folders[Task.SINGLE_LABEL], choice) for choice in ("best", "last"))  # type: ignore[arg-type]
    found = [measure(m.scored(Split.TEST), m.scored(Split.TEST).default_thresholds).metrics for m in (best, last)]
    assert found[0]["cross_entropy"] != found[1]["cross_entropy"]


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_counts_out_of_sorted_scores_are_those_of_every_image_looked_at(model: Model, cut: float) -> None:
    scored = model.scored(Split.VALIDATION)
    thresholds = np.full(3, cut, np.float32)
    decided = scored.decided(thresholds)
    found = measure(scored, thresholds)
    assert [each.predicted for each in found.classes] == decided.sum(axis=0).tolist()
    hits = (decided & scored.truth).sum(axis=0)
    expected = hits / np.maximum(decided.sum(axis=0), 1)
    assert [each.precision for each in found.classes] == pytest.approx(expected.tolist())
    assert found.answered == decided.any(axis=1).sum()
    if scored.task is Task.MULTI_LABEL:
        assert found.metrics["exact_match"] == pytest.approx((decided == scored.truth).all(axis=1).mean())


def test_a_threshold_leaves_single_label_images_without_an_answer_and_the_correlation_counts_them(
    single: Scored,
) -> None:
    thresholds = np.full(3, 0.6, np.float32)
    decided = single.decided(thresholds)
    answer = np.where(decided.any(axis=1), decided.argmax(axis=1), 3)
    assert 0 < (answer == 3).sum() < len(single)
    found = measure(single, thresholds)
    assert found.metrics["mcc"] == pytest.approx(matthews_corrcoef(single.truth.argmax(axis=1), answer))
    matrix = confusion(single, thresholds)
    assert matrix is not None
    assert matrix.dense()[:, 3].sum() == (answer == 3).sum() == len(single) - found.answered


def test_what_is_read_label_by_label_lies_so_in_memory(model: Model) -> None:
    scored = model.scored(Split.TRAIN)
    assert scored.truth.flags.f_contiguous
    assert scored.probabilities.flags.f_contiguous


def test_decisions_are_the_trainers(model: Model) -> None:
    scored = model.scored(Split.TEST)
    settings = Settings(scored.task, scored.labels, 1.0, scored.default_thresholds.astype(np.float64), 0.0, 0)
    assert (scored.decided(scored.default_thresholds) == decisions(scored.probabilities, settings)).all()


def test_every_cell_of_the_confusion_matrix_shows_its_images(single: Scored) -> None:
    thresholds = np.full(3, 0.5, np.float32)
    matrix = confusion(single, thresholds)
    assert matrix is not None
    shown = 0
    for truth, predicted, images in matrix.cells:
        wanted = Filter(
            truth=LABELS[truth],
            predicted=LABELS[predicted] if predicted < 3 else None,
            unanswered=predicted == 3,
        )
        found = page(single, thresholds, wanted, Order.WORST, 1000)
        assert found.count == len(found.predictions) == images
        shown += images
    assert shown == len(single)


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("show", list(Show))
def test_pages_together_are_all_images_once_in_order(model: Model, show: Show, order: Order) -> None:
    scored = model.scored(Split.VALIDATION)
    thresholds = np.full(3, 0.5, np.float32)
    whole = page(scored, thresholds, Filter(show), order, 1000)
    paths, after = [], None
    while True:
        found = page(scored, thresholds, Filter(show), order, 7, after)
        assert found.count == whole.count
        paths += [each.image_id for each in found.predictions]
        after = found.next
        if after is None:
            break
    assert paths == [each.image_id for each in whole.predictions]
    assert len(set(paths)) == whole.count
    if order is Order.WORST:
        losses = [each.loss for each in whole.predictions]
        assert losses == sorted(losses, reverse=True)
    if show in (Show.CORRECT, Show.INCORRECT):
        assert {each.correct for each in whole.predictions} == {show is Show.CORRECT}
    if show in (Show.ABOVE, Show.BELOW):
        assert {bool(each.decided) for each in whole.predictions} == {show is Show.ABOVE}


def test_a_label_can_be_asked_for_alone(multi: Scored) -> None:
    thresholds = multi.default_thresholds
    above = page(multi, thresholds, Filter(Show.ABOVE, label="dog"), Order.SUREST, 1000)
    assert above.count == (multi.probabilities[:, 1] >= thresholds[1]).sum()
    wrong = page(multi, thresholds, Filter(Show.INCORRECT, label="dog"), Order.PATH, 1000)
    assert wrong.count == (multi.decided(thresholds)[:, 1] != multi.truth[:, 1]).sum()


def test_what_cannot_be_asked_is_refused(multi: Scored) -> None:
    ask = (multi, multi.default_thresholds)
    with pytest.raises(Invalid, match="limit"):
        page(*ask, Filter(), Order.PATH, 0)
    with pytest.raises(Invalid, match="after"):
        page(*ask, Filter(), Order.PATH, 5, "nonsense")
    with pytest.raises(NotFound):
        page(*ask, Filter(label="horse"), Order.PATH, 5)
    for given in ([0.5], [0.5, 0.5, 1.5], [0.5, 0.5, float("nan")]):
        with pytest.raises(Invalid, match="thresholds"):
            multi.thresholds(given)
    with pytest.raises(Invalid, match="click"):
        clicked_threshold(curve_of(multi, "dog"), 2, 0)
    with pytest.raises(Invalid, match="target"):
        chosen_thresholds(multi, "precision", None, multi.default_thresholds)


@pytest.mark.parametrize("label", [None, "dog"])
def test_a_click_on_the_curve_gives_the_threshold_of_that_point(multi: Scored, label: str | None) -> None:
    curve = curve_of(multi, label)
    for point in range(0, len(curve.recall), 9):
        threshold = np.float32(clicked_threshold(curve, curve.recall[point], curve.precision[point]))
        scores, truth = (multi.probabilities, multi.truth)
        if label is not None:
            scores, truth = scores[:, 1], truth[:, 1]
        accepted = scores >= threshold
        assert (accepted & truth).sum() / truth.sum() == pytest.approx(curve.recall[point])
        assert (accepted & truth).sum() / accepted.sum() == pytest.approx(curve.precision[point])
    assert len(drawn(curve, 20).recall) <= 20


def test_thresholds_for_a_precision_reach_it_with_the_most_recall_or_stay_as_they_were(multi: Scored) -> None:
    before = np.full(3, 0.123, np.float32)
    values, kept = chosen_thresholds(multi, "precision", 0.8, before)
    found = measure(multi, values)
    for place, each in enumerate(found.classes):
        if each.label in kept:
            assert values[place] == before[place]
            assert curve_of(multi, each.label).precision.max() < 0.8
            continue
        assert each.precision >= 0.8
        curve = curve_of(multi, each.label)
        assert each.recall == pytest.approx(curve.recall[curve.precision >= 0.8].max())


def test_thresholds_for_f1_are_the_trainers_on_the_split_that_it_chose_from(folders: dict[Task, Path]) -> None:
    model = Model(folders[Task.MULTI_LABEL], "best")
    scored = model.scored(Split.VALIDATION)
    values, kept = chosen_thresholds(scored, "f1", None, scored.default_thresholds)
    assert kept == ()
    assert values.tolist() == pytest.approx(list(model.statistics.thresholds.values))


def test_csv_holds_every_image_and_no_cell_that_a_spreadsheet_would_run(model: Model) -> None:
    scored = model.scored(Split.TEST)
    rows = list(csv.reader("".join(csv_lines(scored, "test", scored.default_thresholds)).splitlines()))
    assert rows[0][:6] == ["file", "split", "truth", "predicted", "correct", "loss"]
    assert [row[0] for row in rows[1:]] == list(scored.paths)
    assert not any(cell.startswith("=") for row in rows for cell in row)
    assert [float(cell) for cell in rows[1][6:]] == pytest.approx(scored.probabilities[0].tolist(), abs=1e-5)
    right = sum(row[4] == "yes" for row in rows[1:])
    assert right == page(scored, scored.default_thresholds, Filter(Show.CORRECT), Order.PATH, 1).count


def test_two_models_are_compared_on_the_images_that_both_know(folders: dict[Task, Path], tmp_path: Path) -> None:
    first = Model(folders[Task.SINGLE_LABEL], "best")
    second = Model(make_run(tmp_path / "second", Task.SINGLE_LABEL, seed=5, skill=4, first=150), "best")
    found = compare(first, second, Split.TEST)
    assert found.images == 60  # of the test split's ninety
    assert found.both_correct + found.neither_correct + len(found.only_first) + len(found.only_second) == 60
    assert found.second_correct == found.both_correct + len(found.only_second)
    assert found.second_correct > found.first_correct
    assert found.learnt_by_second == 60
    assert compare(first, first, Split.TEST).p_value == 1
    other = Model(make_run(tmp_path / "other", Task.SINGLE_LABEL, first=1000), "best")
    with pytest.raises(Conflict, match="in common"):
        compare(first, other, Split.TEST)


def test_mcnemars_test_is_the_binomial_one() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 5) == pytest.approx(2 / 2**5)
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)


def test_confident_learning_worked_by_hand() -> None:
    # given class 0: mean of p0 is 0.6; given class 1: mean of p1 is 0.7
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6], [0.1, 0.9], [0.4, 0.6]])
    given = np.array([0, 0, 0, 1, 1, 1])
    assert confident_suspects(probabilities, given).tolist() == [0, 1, 0, -1, 1, -1]


def test_labels_that_were_swapped_on_purpose_are_found_first(tmp_path: Path) -> None:
    make_run(tmp_path / "run", Task.SINGLE_LABEL, skill=8)
    with np.load(tmp_path / "run" / "predictions.npz") as file:
        arrays = dict(file)
    wrong = [31, 34, 37, 40]  # validation images
    arrays["truth"][wrong] = np.roll(arrays["truth"][wrong], 1, axis=1)
    np.savez(tmp_path / "run" / "predictions.npz", **arrays)
    found = label_issues(Model(tmp_path / "run", "best"))
    # the fourth is one of which the model is less sure than of others of the label
    assert {issue.image_id for issue in found[:3]} < {arrays["paths"][row] for row in wrong}
    assert all(issue.split is Split.VALIDATION for issue in found[:3])
    truth = {arrays["paths"][row]: row for row in wrong}
    for issue in found[:3]:
        assert issue.remove == LABELS[int(arrays["truth"][truth[issue.image_id]].argmax())]
        assert issue.add == LABELS[truth[issue.image_id] % 3]


def test_in_a_multi_label_model_an_issue_says_whether_a_label_is_missing_or_too_much(
    folders: dict[Task, Path],
) -> None:
    model = Model(folders[Task.MULTI_LABEL], "best")
    issues = label_issues(model)
    assert issues
    scored = model.scored(Split.TEST)
    truth = dict(zip(scored.paths, scored.truth, strict=True))
    for issue in issues:
        assert (issue.add is None) != (issue.remove is None)
        if issue.split is Split.TEST:
            label = issue.add or issue.remove
            assert truth[issue.image_id][LABELS.index(label)] == (issue.add is None)  # type: ignore[arg-type]
    assert [issue.margin for issue in issues] == sorted((issue.margin for issue in issues), reverse=True)


def test_a_model_is_read_once_and_again_when_it_was_measured_anew(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", Task.SINGLE_LABEL)
    cache = ModelCache(kept=1)
    first = cache.open(folder, "best")
    assert cache.open(folder, "best") is first
    statistics = folder / "statistics.json"
    statistics.write_text(statistics.read_text())
    assert cache.open(folder, "best") is not first
    cache.open(folder, "last")
    assert cache.open(folder, "best") is not first


def test_a_run_without_figures_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="no statistics yet"):
        Model(tmp_path, "best")
    folder = make_run(tmp_path / "run", Task.SINGLE_LABEL)
    (folder / "predictions.npz").write_bytes(b"PK")
    with pytest.raises(Conflict, match="damaged"):
        ModelCache().open(folder, "best")
