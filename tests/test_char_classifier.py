"""CharConvClassifier: scikit-learn's contract on strings, text of any kind, doubt, and model files."""

import json
import pickle
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from fuzz_modelfiles import edit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import fastconv as fc
from fastconv import errors, estimators
from fastconv.calibration import calibration_error
from fastconv.errors import DataError, DTypeError, FastconvError, ModelFormatError, NonFiniteLossError, RangeError

NAMES = fc.datasets.load_surnames()
ROWS = np.concatenate([np.flatnonzero(NAMES.target == k)[:60] for k in range(4)])
X, Y = [NAMES.data[row] for row in ROWS], np.array(NAMES.target_names)[NAMES.target[ROWS]]
FEW = np.array([y == Y[0] for y in Y])
METHODS = ["predict", "predict_proba", "decision_function"]
fuzz = settings(deadline=None, derandomize=True, database=None)
TEXT = st.text(st.characters(), max_size=30)
"""Any code points, surrogates too."""


def small(**settings):
    """A classifier that is fitted in a moment."""
    given = {"filters": 8, "members": 2, "epochs": 3, "batch_size": 32, "threads": 1, "random_state": 0}
    return fc.CharConvClassifier(**given | settings)


def bits(clf):
    return clf.network_.parameters.tobytes()


@pytest.fixture(scope="module")
def fitted():
    """A classifier that the tests leave as it is."""
    return small(epochs=10, filters=32).fit(X, Y)


# scikit-learn's contract; test_estimators.py has its own battery, on codes


def test_it_is_a_classifier_of_strings():
    assert is_classifier(fc.CharConvClassifier())
    tags = fc.CharConvClassifier().__sklearn_tags__().input_tags
    assert tags.string and not tags.two_d_array
    assert fc.CharConvClassifier(input="codes").__sklearn_tags__().input_tags.two_d_array


def test_making_one_sets_its_parameters_and_nothing_else():
    clf = fc.CharConvClassifier()
    assert vars(clf) == clf.get_params()
    assert vars(clf.set_params(filters=3, keep="end"))["filters"] == 3 and clf.keep == "end"
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        clf.set_params(depth=3)
    assert repr(fc.CharConvClassifier(filters=3)) == "CharConvClassifier(filters=3)"


def test_a_clone_has_the_parameters_and_is_not_fitted(fitted):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params() and not hasattr(copy, "classes_")
    assert bits(copy.fit(X, Y)) == bits(fitted)


def test_fit_returns_the_classifier_and_changes_neither_parameters_nor_arguments():
    clf, strings, labels, weights = small(), np.array(X, object), Y.copy(), np.ones(len(X))
    before = clf.get_params()
    for array in (strings, labels, weights):
        array.setflags(write=False)
    assert clf.fit(strings, labels, weights) is clf is clf.partial_fit(strings, labels)
    assert clf.get_params() == before and strings.tolist() == X and np.array_equal(labels, Y)


def test_fitting_twice_gives_the_same():
    clf = small().fit(X, Y)
    first, records = bits(clf), len(clf.history_)
    assert bits(clf.fit(X, Y)) == first and len(clf.history_) == records
    assert clf.fit(X[:120], Y[:120]).classes_.tolist() == sorted(set(Y[:120].tolist()))


def test_predicting_changes_nothing(fitted):
    before, known = dict(vars(fitted)), bits(fitted)
    for name in METHODS:
        getattr(fitted, name)(X)
    fitted.predict(X, reject_below=0.5), fitted.top_k(X), fitted.explain(X[0])
    assert vars(fitted) == before and bits(fitted) == known


def test_a_pickle_predicts_the_same_bits_and_goes_on_alike(fitted):
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.predict_proba(X), fitted.predict_proba(X))
    assert copy.history_.records == fitted.history_.records and copy.get_params() == fitted.get_params()
    halfway = small().partial_fit(X, Y, classes=Y)
    copy = pickle.loads(pickle.dumps(halfway)).partial_fit(X, Y)
    assert bits(copy) == bits(halfway.partial_fit(X, Y))


@pytest.mark.parametrize("call", [*METHODS, "top_k", "explain", "save", "score"])
def test_what_needs_fitting_says_so(call, tmp_path):
    given = {"explain": ["Ng"], "save": [tmp_path / "model"], "score": [X, Y]}.get(call, [X])
    for kind in (NotFittedError, errors.NotFittedError):
        with pytest.raises(kind, match="this CharConvClassifier has not been fitted"):
            getattr(small(), call)(*given)
    assert not list(tmp_path.iterdir()) and not hasattr(small(), "predictor_")


def test_strings_go_through_pipelines_cross_validation_and_searches():
    reverse = FunctionTransformer(lambda strings: [string[::-1] for string in strings])
    pipe = make_pipeline(reverse, small()).set_output(transform="default").fit(X, Y)
    assert np.array_equal(
        pipe.predict_proba(X), small().fit([x[::-1] for x in X], Y).predict_proba([x[::-1] for x in X])
    )
    assert min(cross_val_score(small(epochs=10, filters=32), X, Y, cv=3)) > 0.5
    search = GridSearchCV(small(), {"epochs": [1, 10], "filters": [1, 32]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"epochs": 10, "filters": 32} and search.predict(X[:3]).shape == (3,)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib_s_workers_find_the_same(backend):
    from joblib import parallel_config

    with parallel_config(backend):
        scores = cross_val_score(small(), X, Y, cv=2, n_jobs=2)
    assert np.array_equal(scores, cross_val_score(small(), X, Y, cv=2))


def test_it_votes_and_is_calibrated_with_others():
    both = [("one", small(epochs=10)), ("two", small(epochs=10, kernel_size=3))]
    for voting in ("soft", "hard"):
        assert VotingClassifier(both, voting=voting).fit(X, Y).score(X, Y) > 0.6
    assert CalibratedClassifierCV(small(epochs=10), cv=2).fit(X, Y).score(X, Y) > 0.6


# Labels


@pytest.mark.parametrize("names", [
    np.array(list("abcd")), np.array(list("abcd"), object), np.array(["a\0", "b", "c", "d"], object), np.arange(-2, 2),
    np.arange(4.0), np.arange(4).astype(np.uint8), np.array([2**70, 2**70 + 1, 2**70 + 2, 2**70 + 3]),
    np.arange("2000-01", "2000-05", dtype="datetime64[M]"),
], ids=lambda names: f"{names.dtype} {names[0]!r}")  # fmt: skip
def test_labels_are_of_any_kind_that_can_be_sorted(tmp_path, names):
    index = np.unique(Y, return_inverse=True)[1]
    clf, plain = small().fit(X, names[index]), small().fit(X, index)
    assert bits(clf) == bits(plain) and clf.classes_.dtype == names.dtype
    assert np.array_equal(clf.predict(X), names[plain.predict(X)])
    if names.dtype.kind != "M":
        clf.save(tmp_path / "model")
        for again in (fc.CharConvClassifier.load(tmp_path / "model"), fc.StringClassifier.load(tmp_path / "model")):
            assert again.predict(X).tolist() == clf.predict(X).tolist()


def test_decisions_are_logits_and_probabilities_their_softmax(fitted):
    np.testing.assert_allclose(fitted.predict_proba(X), softmax(fitted.decision_function(X), 1), rtol=1e-4, atol=1e-7)
    assert np.array_equal(fitted.predict(X), fitted.classes_[fitted.decision_function(X).argmax(axis=1)])
    assert fitted.score(X, Y) == np.mean(fitted.predict(X) == Y)
    two = small().fit(X, FEW)
    assert two.classes_.tolist() == [False, True]
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], expit(two.decision_function(X)), rtol=1e-4, atol=1e-7)
    assert np.array_equal(two.predict(X), two.decision_function(X) > 0)


# Training


def test_the_names_of_four_languages_are_learnt_in_a_moment(fitted):
    others = np.concatenate([np.flatnonzero(NAMES.target == k)[60:90] for k in range(4)])
    assert fitted.score([NAMES.data[row] for row in others], np.array(NAMES.target_names)[NAMES.target[others]]) > 0.6


def test_the_members_are_trained_one_by_one_and_their_logits_averaged():
    clf = small(class_weight=None).fit(X, Y)
    codes, labels = clf.preprocess_.transform(np.array(X, object)), np.unique(Y, return_inverse=True)[1]
    seed, logits = np.random.RandomState(0).randint(2**31), []
    for place in range(2):
        net = fc.models.char_convnet(len(clf.alphabet_), clf.length_, 4, filters=8, seed=seed + place)
        trainer = fc.Trainer(
            net, None, fc.AdamW(fc.schedules.OneCycle(0.02, 3 * 8), weight_decay=0.1), 32, 1, seed + place
        )
        history = trainer.fit(codes, labels, epochs=3)
        assert clf.history_["train_loss"][3 * place :][:3].tolist() == history["train_loss"].tolist()
        logits.append(net.forward(codes))
    np.testing.assert_allclose(clf.decision_function(X), np.mean(logits, axis=0), rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads():
    expected = bits(small(early_stopping=True).fit(X, Y))
    for threads in (2, 3, 8, None):
        assert bits(small(early_stopping=True, threads=threads).fit(X, Y)) == expected
    assert bits(small(random_state=np.random.RandomState(0), early_stopping=True).fit(X, Y)) == expected
    assert bits(small(random_state=1, early_stopping=True).fit(X, Y)) != expected
    assert bits(small(random_state=None).fit(X, Y)) != bits(small(random_state=None).fit(X, Y))


def test_the_history_has_the_records_of_each_member(fitted):
    assert fitted.history_["member"].tolist() == [0] * 10 + [1] * 10
    assert fitted.history_["epoch"].tolist() == [*range(1, 11)] * 2
    losses = fitted.history_["train_loss"].reshape(2, 10).mean(axis=0)
    assert fitted.n_iter_ == 10 and fitted.loss_curve_ == pytest.approx(losses.tolist())
    assert losses[-1] < losses[0] and fitted.temperature_ == 1


def test_more_strings_take_fewer_epochs():
    epochs = [fc.CharConvClassifier()._epochs(n) for n in (1, 240, 5_000, 20_000, 80_000, 2_000_000)]
    assert epochs == [60, 60, 20, 10, 5, 2]


def test_weights_of_one_are_no_weights_and_weights_of_zero_teach_nothing():
    assert bits(small().fit(X, Y, np.ones(len(X)))) == bits(small().fit(X, Y))
    wrong = np.arange(len(X)) % 3 == 0
    labels = np.where(wrong, Y[0], Y)
    clf = small(epochs=20, filters=32).fit(X, labels, ~wrong)
    assert np.mean(clf.predict(X)[~wrong] == Y[~wrong]) > 0.9 and np.mean(clf.predict(X)[wrong] == Y[wrong]) > 0.6
    assert clf.class_count_.tolist() == [40] * 4


def test_class_frequencies_are_those_of_the_weights():
    weights = np.where(FEW, 0.1, 1)
    clf = small(epochs=20).fit(X, Y, weights)
    assert clf.class_count_ == pytest.approx([6, 60, 60, 60])
    assert np.mean(clf.predict(X) == Y[0]) == pytest.approx(0.25, abs=0.1)
    plain = small(epochs=20, class_weight=None).fit(X, Y, weights)
    assert np.mean(plain.predict(X) == Y[0]) < np.mean(clf.predict(X) == Y[0])


def test_a_class_weight_is_partly_in_the_loss_and_partly_in_the_logit():
    rows = np.flatnonzero(~FEW | (np.arange(len(X)) < 15))
    x, y = [X[row] for row in rows], Y[rows]
    index, counts = np.searchsorted(np.unique(Y), y), np.array([15, 60, 60, 60])
    for setting, weights in (("balanced", 195 / (4 * counts)), ({Y[0]: 7, Y[-1]: 0.5}, np.array([7, 1, 1, 0.5]))):
        in_the_loss = weights**0.25 / np.mean(weights[index] ** 0.25)
        plain = small(class_weight=None).fit(x, y, in_the_loss[index])
        logits = plain.decision_function(X) + 0.75 * np.log(weights)
        clf = small(class_weight=setting).fit(x, y)
        np.testing.assert_allclose(clf.decision_function(X), logits, rtol=1e-4, atol=1e-4)
        assert np.sum(clf.predict(X) == Y[0]) > np.sum(small(class_weight=None).fit(x, y).predict(X) == Y[0])


def test_partial_fit_learns_from_nothing_as_fast_as_fit_does(fitted):
    clf = small(filters=32)
    for _ in range(10):
        clf.partial_fit(X, Y, classes=Y)
    assert clf.score(X, Y) > 0.9 * fitted.score(X, Y) and len(clf.history_) == 20
    falling = fc.schedules.InverseSquareRoot(0.02, every=200)
    assert clf.history_["lr"].tolist() == [falling(8 * epoch - 1) for epoch in range(1, 11)] * 2
    assert clf.class_count_.tolist() == [600] * 4


def test_partial_fit_goes_on_from_fit_and_from_a_file_alike(tmp_path):
    clf = small(epochs=10).fit(X, Y)
    clf.save(tmp_path / "model")
    again, score = fc.CharConvClassifier.load(tmp_path / "model"), clf.score(X, Y)
    for each in (clf, again):
        each.partial_fit(X[:30], Y[:30])
        assert each.history_["lr"].tolist() == [fc.schedules.InverseSquareRoot(0.02, every=200)(80)] * 2
        each.partial_fit(X[30:], Y[30:])
        assert each.score(X, Y) > score and each.class_count_.tolist() == [120] * 4
    np.testing.assert_allclose(again.predict_proba(X), clf.predict_proba(X), atol=0.05)


def test_partial_fit_refuses_no_samples(fitted):
    for clf, classes in ((small(), Y), (pickle.loads(pickle.dumps(fitted)), None)):
        with pytest.raises(DataError, match=r"partial_fit: expected (samples|strings), got none"):
            clf.partial_fit([], [], classes=classes)


def test_a_class_that_partial_fit_has_not_seen_is_not_predicted():
    clf = small()
    for _ in range(5):
        clf.partial_fit([x for x, few in zip(X, FEW, strict=True) if not few], Y[~FEW], classes=Y)
    assert clf.class_count_.tolist() == [0, 300, 300, 300] and Y[0] not in clf.predict(X)


def test_the_number_of_members_is_that_of_the_first_call():
    clf = small(warm_start=True).fit(X, Y).set_params(members=1)
    clf.partial_fit(X, Y)
    assert clf.fit(X, Y).history_["member"].max() == 1 and clf.network_.layers[0].filters == 16


def test_a_warm_start_goes_on_from_what_is_fitted():
    warm = small(warm_start=True).fit(X, Y)
    before, alphabet = warm.predict_proba(X), warm.alphabet_
    warm.set_params(learning_rate=1e-9).fit(X[1:], Y[1:])
    np.testing.assert_allclose(warm.predict_proba(X), before, rtol=0.05)
    assert warm.alphabet_ is alphabet
    for call in (warm.fit, warm.partial_fit):
        with pytest.raises(RangeError, match=r"expected labels among \['Arabic', .*\], got 'Klingon'"):
            call(X, np.where(FEW, "Klingon", Y))


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("update, members", [(5, 2), (12, 1), (30, 1), (36, 2)])
def test_what_was_learnt_before_an_interrupt_is_kept(tmp_path, update, members, warm):
    calls = []

    def rate(update_of_member):  # of 8 in an epoch and 24 in all, asked for an epoch at a time
        calls.append(update_of_member)
        if len(calls) == update:
            raise KeyboardInterrupt
        return 0.01

    clf = small(warm_start=True).fit(X, Y) if warm else small()
    with pytest.raises(KeyboardInterrupt):
        clf.set_params(learning_rate=rate).fit(X, Y)
    assert clf.network_.layers[0].filters == 8 * (2 if warm else members)
    clf.set_params(learning_rate=0.02).save(tmp_path / "model")
    expected = clf.predict_proba(X)
    for again in (fc.CharConvClassifier.load(tmp_path / "model"), pickle.loads(pickle.dumps(clf))):
        assert np.array_equal(again.predict_proba(X), expected)
        assert again.partial_fit(X, Y).predict(X).shape == (len(X),)


def test_ctrl_c_ends_members_that_train_side_by_side():
    clf = small(members=3, epochs=20_000, threads=2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            clf.fit(X, Y)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert clf.network_.layers[0].filters == 16  # two were at work, the third had not begun
    assert {record["member"] for record in clf.history_.records} == {0, 1}
    assert clf.score(X, Y) > 0.9


def test_a_rate_that_is_too_high_is_named():
    for stopping, threads in ((False, 1), (True, 1), (False, 2)):
        with pytest.raises(NonFiniteLossError, match="a smaller learning rate may help"):
            small(learning_rate=1e30, early_stopping=stopping, threads=threads).fit(X, Y)


# Validation


def test_early_stopping_holds_a_share_of_each_class_out_and_keeps_the_best(fits):
    weights = np.linspace(0.5, 1, len(X))
    clf = small(early_stopping=True, validation_fraction=0.25, n_iter_no_change=2, epochs=50, filters=32)
    clf.set_params(learning_rate=0.1).fit(X, Y, weights)
    assert [len(y) for _, y, _ in fits] == [180, 180] and clf.class_count_.sum() < weights.sum()
    for member, (_, _, keywords) in enumerate(fits):
        losses = clf.history_["validation_loss"][clf.history_["member"] == member]
        assert len(losses) == losses.argmin() + 1 + 2 < 50 and clf.n_iter_ >= len(losses)
        assert np.bincount(keywords["validation"][1]).tolist() == [15] * 4


def test_a_validation_set_that_is_given_stands_for_the_part_held_out(fits):
    clf = small(early_stopping=True).fit(X[::2], Y[::2], validation=(X[1::2], Y[1::2]))
    assert [len(y) for _, y, _ in fits] == [120, 120]
    assert len(clf.history_["validation_accuracy"]) == len(clf.history_)
    assert bits(small().fit(X, Y)) != bits(small().fit(X, Y, validation=(X, Y)))  # but for the temperature


def test_the_temperature_changes_probabilities_and_no_decision():
    x, y, validation = X[::2], Y[::2], (X[1::2], Y[1::2])
    plain, clf = (small(epochs=20, filters=32).fit(x, y, **more) for more in ({}, {"validation": validation}))
    assert clf.temperature_ != 1 and np.array_equal(clf.predict(X), plain.predict(X))
    logits = plain.decision_function(X)
    np.testing.assert_allclose(clf.decision_function(X), logits / clf.temperature_, rtol=1e-4, atol=1e-4)
    record, labels = clf.history_.records[-1], np.searchsorted(clf.classes_, validation[1])
    assert record["temperature"] == clf.temperature_
    for name, each in (("calibration_error_before", plain), ("calibration_error", clf)):
        assert record[name] == pytest.approx(calibration_error(each.predict_proba(validation[0]), labels), abs=1e-6)
    assert record["calibration_error"] < record["calibration_error_before"]


# Text


class Name(str):
    """A kind of string."""


@pytest.mark.parametrize("form", [
    np.array(X), np.array(X, object), np.array(X)[:, None], np.array(X, object)[:, None], tuple(X),
    [np.str_(x) for x in X], [Name(x) for x in X],
], ids=["str", "object", "column", "object column", "tuple", "np.str_", "subclass"])  # fmt: skip
def test_strings_are_the_same_in_every_form(fitted, form):
    assert bits(small().fit(form, Y)) == bits(small().fit(X, Y))
    assert np.array_equal(fitted.predict_proba(form), fitted.predict_proba(X))


def test_strings_and_labels_may_come_one_by_one(fitted):
    assert bits(small().fit((x for x in X), tuple(Y))) == bits(small().fit(X, Y))
    assert np.array_equal(fitted.predict(iter(X)), fitted.predict(X))


@pytest.mark.parametrize("element", [None, float("nan"), 3, b"Ng", ["Ng"]])
def test_what_is_no_string_is_named_by_its_position(fitted, element):
    wrong = [*X[:6], element, *X[7:]]
    for call in (small().fit, small().partial_fit):
        with pytest.raises(DTypeError, match=f"fit: element 6 is {type(element).__name__} .*, expected str"):
            call(wrong, Y, **({"classes": Y} if call.__name__ == "partial_fit" else {}))
    for call in (*METHODS, "top_k"):
        name = "forward" if call == "decision_function" else call
        with pytest.raises(DTypeError, match=f"{name}: element 6 is {type(element).__name__}"):
            getattr(fitted, call)(wrong)


@pytest.mark.parametrize("given", ["Ng", b"Ng", 3, None, np.array("Ng"), np.array([X, X])], ids=repr)
def test_strings_come_in_a_list(fitted, given):
    for call in (fitted.predict, lambda x: small().fit(x, Y)):
        with pytest.raises(FastconvError, match=r"expected (a list of )?strings"):
            call(given)


def test_no_strings_have_no_predictions(fitted):
    assert fitted.predict([]).shape == (0,) and fitted.predict([]).dtype == fitted.classes_.dtype
    assert fitted.predict_proba([]).shape == fitted.decision_function([]).shape == (0, 4)
    assert fitted.predict([], reject_below=0.5).shape == (0,)
    assert [array.shape for array in fitted.top_k([], 2)] == [(0, 2), (0, 2)]
    with pytest.raises(DataError, match="fit: expected strings, got none"):
        small().fit([], [])
    with pytest.raises(DataError, match="the strings hold no characters"):
        small().fit(["", ""], [0, 1])


STRANGE = {
    "empty": "", "unknown": "漢字", "nul": "\0", "half a pair": "\ud800", "right to left": "\u202e\u05d0\u05d1",
    "astral": "\U0001f600", "marks": "e" + "\u0301" * 2000, "space": " \t\r\n ", "10 MB": "Ng" * 5_000_000,
}  # fmt: skip


@pytest.mark.parametrize("string", STRANGE.values(), ids=STRANGE)
def test_any_string_is_learnt_and_predicted(fitted, string):
    for clf in (fitted, small(max_symbols=5).fit([string, *X], [Y[-1], *Y])):
        p = clf.predict_proba([string])
        assert p.shape == (1, 4) and p.sum() == pytest.approx(1) and clf.predict([string])[0] in clf.classes_
        assert len(clf.explain(string).characters) == len(clf.alphabet_.clean(string))


@pytest.fixture(scope="module")
def with_bytes():
    """A classifier that encodes characters outside its alphabet as bytes, and keeps the end."""
    return small(max_symbols=8, max_length=12, keep="end").fit(X, Y)


@settings(fuzz, max_examples=50)
@given(st.lists(TEXT, min_size=40, max_size=40))
def test_two_thousand_texts_have_probabilities_that_do_not_depend_on_the_others(fitted, with_bytes, strings):
    for clf in (fitted, with_bytes):
        together = clf.predict_proba(strings)
        assert np.isfinite(together).all() and np.abs(together.sum(axis=1) - 1).max() < 1e-5
        assert np.array_equal(together, np.concatenate([clf.predict_proba([string]) for string in strings]))


def test_predictions_do_not_depend_on_blocks_and_threads(fitted, monkeypatch):
    expected = fitted.predict_proba(X)
    monkeypatch.setattr(estimators.base, "BLOCK", 7 * fitted.length_)
    for threads in (1, 2, 3, 8):
        copy = pickle.loads(pickle.dumps(fitted)).set_params(threads=threads)
        assert np.array_equal(copy.predict_proba(X), expected)


def test_filters_see_more_of_longer_strings():
    longer = [name + " of somewhere" for name in X]
    assert [small(epochs=1).fit(strings, Y).kernel_size_ for strings in (X, longer)] == [4, 6]
    assert small(epochs=1, kernel_size=3).fit(longer, Y).kernel_size_ == 3


def test_case_is_folded():
    clf = small(epochs=1).fit(X, Y)
    assert np.array_equal(*clf.predict_proba(["Straße", "STRASSE"]))


def test_alphabet_and_length_come_from_the_strings(capsys):
    names = ["Dvořák", "Đỗ", *["Li"] * 20] * 10
    clf = small(verbose=True).fit(names, [0, 1] * 110)
    assert set(clf.alphabet_.symbols) == set("dvořákđỗli") and clf.alphabet_.markers
    assert clf.length_ == 8 and clf.truncated_ == 0
    assert "alphabet of 10 characters, 8 codes" in capsys.readouterr().err
    plain = small(strip_accents=True, lowercase=False, max_length=5).fit(names, [0, 1] * 110)
    assert set(plain.alphabet_.symbols) == set("DvorakĐoLi") and (plain.length_, plain.truncated_) == (5, 10)
    assert np.array_equal(plain.predict_proba(["Dvořák"]), plain.predict_proba(["Dvor"]))
    assert not np.array_equal(plain.predict_proba(["dvo"]), plain.predict_proba(["Dvo"]))
    rare = small(max_symbols=2).fit(names, [0, 1] * 110)
    assert rare.alphabet_.symbols == "il" and rare.alphabet_.byte_fallback


def test_one_string_in_a_thousand_may_be_longer_than_the_length():
    names = ["abc"] * 1999 + ["a" * 100]
    clf = small(epochs=1, members=1).fit(names, np.arange(2000) % 2)
    assert (clf.length_, clf.truncated_) == (5, 1)


def test_codes_are_a_matrix_and_new_ones_count_as_none():
    codes = np.array([[0, 1, 2, -1], [2, 1, -1, -1]] * 20)
    clf = small(input="codes", epochs=20).fit(codes, [0, 1] * 20)
    assert clf.predict([[0, 1, 2, -1], [2, 1, -1, -1]]).tolist() == [0, 1] and clf.n_features_in_ == clf.length_ == 4
    assert np.array_equal(clf.predict_proba([[0, 1, 3, -9]]), clf.predict_proba([[0, 1, -1, -1]]))
    for call in (clf.top_k, clf.explain, lambda x: clf.predict(x, reject_below=0.5)):
        with pytest.raises(RangeError, match="it is of strings, the classifier reads codes"):
            call(codes)
    with pytest.raises(RangeError, match="fit: codes are below 32767, got 32767"):
        clf.fit([[32767], [0]], [0, 1])


# Doubt


def test_predictions_below_a_probability_are_rejected(fitted):
    p = fitted.predict_proba(X).max(axis=1)
    doubtful = p < 0.6
    assert 0 < doubtful.sum() < len(X)
    for label in (None, "not known at all"):
        found = fitted.predict(X, reject_below=0.6, reject_label=label)
        assert np.array_equal(found, np.where(doubtful, label, fitted.predict(X).astype(object)))
    assert fitted.predict(X, reject_below=0.6, reject_label="not known at all").dtype.kind == "U"
    assert np.array_equal(fitted.predict(X, reject_below=0), fitted.predict(X))
    numbers = small().fit(X, np.searchsorted(fitted.classes_, Y)).predict(X, reject_below=1, reject_label=-1)
    assert numbers.dtype == np.int64 and set(numbers.tolist()) == {-1}


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), "0.5", True])
def test_a_probability_to_reject_below_is_one(fitted, wrong):
    with pytest.raises(RangeError, match=r"predict: reject_below lies in \[0, 1\], got"):
        fitted.predict(X, reject_below=wrong)


# What does not fit

REFUSED = {
    "other numbers": (X, Y[:-1], {}, DataError, "fit: .*inconsistent numbers of samples"),
    "one class": (X, Y[:1].repeat(len(X)), {}, DataError, r"fit: expected labels of two classes or more, got 1 class"),
    "no labels": (X, None, {}, DataError, "fit: y should be a 1d array"),
    "a missing label": (X, [Y[0], float("nan"), *Y[2:]], {}, DTypeError, "fit: .* got nan at index 1 and strings"),
    "missing labels": (X, [None, *Y[1:]], {}, DTypeError, "fit: expected labels of one kind that can be sorted"),
    "input": (X, Y, {"input": "words"}, RangeError, "fit: input is 'strings' or 'codes', got 'words'"),
    "keep": (X, Y, {"keep": "middle"}, RangeError, "keep is 'start' or 'end', got 'middle'"),
    "lowercase": (X, Y, {"lowercase": "no"}, DTypeError, "lower is True or False, got 'no'"),
    "max_symbols": (X, Y, {"max_symbols": -1}, RangeError, "max_symbols: expected an integer >= 0, got -1"),
    "max_length": (X, Y, {"max_length": 0}, RangeError, "fit: max_length: expected a positive integer, got 0"),
    "filters": (X, Y, {"filters": 0}, RangeError, "filters: expected a positive integer, got 0"),
    "kernel_size": (X, Y, {"kernel_size": "4"}, RangeError, "kernel_size: expected a positive integer, got '4'"),
    "members": (X, Y, {"members": 0}, RangeError, "members: expected a positive integer, got 0"),
    "dropout": (X, Y, {"dropout": -0.1}, RangeError, r"Dropout: rate lies in \[0, 1\), got -0.1"),
    "epochs": (X, Y, {"epochs": 0}, RangeError, "fit: epochs: expected a positive integer, got 0"),
    "learning_rate": (X, Y, {"learning_rate": -1}, RangeError, "eta_max must be positive and finite, got -1"),
    "label_smoothing": (X, Y, {"label_smoothing": None}, RangeError, r"label_smoothing lies in \[0, 1\), got None"),
    "class_weight": (X, Y, {"class_weight": "even"}, RangeError, "class_weight is None, 'balanced' or a dict, got"),
    "class_weight's labels": (X, Y, {"class_weight": {"a": 1}}, DataError, "class_weight: The classes, .* are not in"),
    "a class_weight of 0": (X, Y, {"class_weight": {Y[0]: 0}}, RangeError, "class weights are finite and above 0"),
    "threads": (X, Y, {"threads": 0}, RangeError, "threads: expected a positive integer or None, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("x, y, settings, error, message", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_leaves_the_classifier_as_it_was(x, y, settings, error, message):
    clf = small(epochs=1).fit(X, Y)
    before = bits(clf)
    with pytest.raises(error, match=message) as raised:
        clf.set_params(**settings).fit(x, y)
    assert isinstance(raised.value, FastconvError) and bits(clf) == before
    assert clf.classes_.tolist() == sorted(set(Y.tolist()))


def test_labels_to_validate_are_those_to_learn():
    with pytest.raises(RangeError, match=r"fit: validation: expected labels among .*, got 'Klingon'"):
        small().fit(X, Y, validation=(["Qo'noS"], ["Klingon"]))
    with pytest.raises(DTypeError, match=r"fit: validation is a pair \(X, y\), got list"):
        small().fit(X, Y, validation=X)


# Model files


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The model file of a small classifier, and the classifier."""
    clf = small(max_symbols=8, class_weight={Y[0]: 2.0}, epochs=2).fit(X, Y, validation=(X, Y))
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    clf.save(path)
    return path, clf


@pytest.mark.parametrize("settings", [
    {}, {"early_stopping": True}, {"dropout": 0, "members": 1}, {"keep": "end", "max_length": 6, "max_symbols": 9},
    {"strip_accents": True, "lowercase": False, "class_weight": None},
], ids=str)  # fmt: skip
def test_a_model_file_gives_the_same_predictions(tmp_path, settings):
    clf = small(**settings).fit(X, Y)
    clf.save(tmp_path / "model")
    again, light = (kind.load(tmp_path / "model") for kind in (fc.CharConvClassifier, fc.StringClassifier))
    assert again.get_params() == light.settings == clf.get_params()
    assert again.classes_.tolist() == light.classes == clf.classes_.tolist()
    assert again.alphabet_ == light.alphabet == clf.alphabet_ and again.length_ == clf.length_
    strings = [*X, "漢字", ""]
    assert np.array_equal(again.predict_proba(strings), clf.predict_proba(strings))
    assert np.array_equal(light.predict_proba(strings), clf.predict_proba(strings))
    assert (again.temperature_, again.class_count_.tolist()) == (clf.temperature_, clf.class_count_.tolist())
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_a_model_file_of_codes_comes_back(tmp_path):
    codes = np.array([[0, 1, 2, -1], [2, 1, -1, -1]] * 20)
    clf = small(input="codes").fit(codes, [0, 1] * 20)
    clf.save(tmp_path / "model")
    again = fc.CharConvClassifier.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(codes), clf.predict_proba(codes)) and again.n_features_in_ == 4
    with pytest.raises(ModelFormatError, match="not a classifier of strings"):
        fc.StringClassifier.load(tmp_path / "model")
    with pytest.raises(ModelFormatError, match="not a model file of ImageConvClassifier"):
        fc.ImageConvClassifier.load(tmp_path / "model")


def test_a_model_file_is_small_and_readable_by_others(saved):
    import safetensors.numpy

    path, clf = saved
    arrays = safetensors.numpy.load_file(path)
    assert {name: array.shape for name, array in arrays.items()} == {
        name: array.shape for name, array in clf.network_.params.items()
    }
    assert np.array_equal(fc.load(path).parameters, clf.network_.parameters)
    default = fc.CharConvClassifier(epochs=1, random_state=0).fit(NAMES.data, NAMES.target)
    default.save(path.with_name("surnames"))
    assert path.with_name("surnames").stat().st_size <= 500_000


def test_loading_and_predicting_imports_neither_scikit_learn_nor_scipy(saved):
    code = (
        "import sys, fastconv as fc\n"
        "clf = fc.load_classifier(sys.argv[1])\n"
        "assert clf.predict(['Ng', 'Smith']).shape == (2,) and clf.explain('Ng').characters == ['n', 'g']\n"
        "heavy = 'scipy', 'sklearn', 'joblib', 'matplotlib', 'tqdm', 'pooch'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code, saved[0]], capture_output=True)
    assert (found.stdout.strip(), found.stderr) == (b"[]", b"")


def test_labels_that_json_does_not_know_are_not_saved(tmp_path):
    days = np.where(FEW, np.datetime64("2000-01-01"), np.datetime64("2001-01-01"))
    with pytest.raises(DTypeError, match=r"save: expected labels that are strings, .* got datetime.date\(2000, 1, 1\)"):
        small().fit(X, days).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def damaged(*path, value=None, drop=False):
    """Return what changes one part of the metadata."""

    def change(metadata):
        *way, last = path
        for key in way:
            metadata = metadata[key]
        if drop:
            del metadata[last]
        else:
            metadata[last] = value

    return change


BOTH = {
    "no metadata": lambda m: m.clear(),
    "another estimator": damaged("estimator", value="ImageConvClassifier"),
    "an unknown key": damaged("colour", value="red"),
    "an unknown key of the input": damaged("input", "colour", value="red"),
    "an unknown key of the output": damaged("output", "colour", value="red"),
    "an unknown key of the alphabet": damaged("input", "alphabet", "colour", value="red"),
    "no alphabet": damaged("input", "alphabet", drop=True),
    "no output": damaged("output", drop=True),
    "no parameters": damaged("parameters", drop=True),
    "parameters of no names": damaged("parameters", value=[]),
    "a symbol too few": lambda m: m["input"]["alphabet"]["symbols"].pop(),
    "a symbol twice": damaged("input", "alphabet", "symbols", 0, value="n"),
    "a marker too few": damaged("input", "alphabet", "markers", value=False),
    "an option of text": damaged("input", "alphabet", "lower", value="yes"),
    "what is kept": damaged("input", "keep", value="middle"),
    "a class too few": lambda m: m["classes"].pop(),
    "a class twice": damaged("classes", 1, value=str(Y[0])),
    "classes of two kinds": damaged("classes", 0, value=0),
    "no class": damaged("classes", 0, value=None),
    "classes in classes": damaged("classes", 0, value=["Arabic"]),
    "classes of one string": damaged("classes", value="abcd"),
    "classes out of order": lambda m: m["classes"].reverse(),
    "a number for classes": damaged("classes", value=4),
    "a temperature of zero": damaged("output", "temperature", value=0),
    "a negative temperature": damaged("output", "temperature", value=-1.0),
    "an absurd temperature": damaged("output", "temperature", value=1e300),
    "a temperature of text": damaged("output", "temperature", value="1"),
    "a temperature of truth": damaged("output", "temperature", value=True),
    "a shift too few": lambda m: m["output"]["shift"].pop(),
    "a shift of nothing": damaged("output", "shift", 0, value=None),
    "an absurd shift": damaged("output", "shift", 0, value=1e300),
    "a negative count": damaged("output", "counts", 0, value=-1),
    "counts of counts": damaged("output", "counts", 0, value=[1]),
    "no member": damaged("output", "members", value=0),
    "half a member": damaged("output", "members", value=0.5),
    "less than no updates": damaged("output", "updates", value=-1),
}  # fmt: skip
FITTING_ONLY = {
    "an unknown parameter": damaged("parameters", "depth", value=3),
    "other members than there are filters for": damaged("output", "members", value=3),
    "a huge number of members": damaged("output", "members", value=10**30),
    "threads": damaged("parameters", "threads", value="many"),
    "dropout": damaged("parameters", "dropout", value="much"),
    "the kind of input": damaged("parameters", "input", value="words"),
    "codes for strings": damaged("parameters", "input", value="codes"),
}


@pytest.mark.parametrize("damage", (BOTH | FITTING_ONLY).values(), ids=BOTH | FITTING_ONLY)
def test_damaged_metadata_are_refused(saved, tmp_path, damage):
    net = fc.load(saved[0])
    damage(net.metadata)
    net.save(tmp_path / "model")
    with pytest.raises(ModelFormatError, match="model: not a model file of CharConvClassifier: "):
        fc.CharConvClassifier.load(tmp_path / "model")
    if damage in BOTH.values():
        with pytest.raises(ModelFormatError, match="model: not a classifier of strings: "):
            fc.StringClassifier.load(tmp_path / "model")


def test_a_network_that_the_classifier_does_not_make_is_refused(saved, tmp_path):
    metadata, (layers, input) = fc.load(saved[0]).metadata, (fc.load(saved[0]).layers, fc.load(saved[0]).input)
    conv = layers[0]
    for changed, dtype in (
        ([fc.OneHotConv1D(conv.filters, conv.kernel_size, padding="same", init=conv.init), *layers[1:]], "float32"),
        ([conv, fc.Tanh(), *layers[2:]], "float32"), ([fc.Embedding(16), *layers[1:]], "float32"), (layers, "float64"),
    ):  # fmt: skip
        net = fc.Sequential(changed, input, dtype)
        net.metadata = metadata
        net.save(tmp_path / "model")
        with pytest.raises(ModelFormatError, match="model: not a model file of CharConvClassifier: "):
            fc.CharConvClassifier.load(tmp_path / "model")
        assert fc.StringClassifier.load(tmp_path / "model").predict_proba(X).shape == (len(X), 4)
    net = fc.load(saved[0])
    net.params["3.w"][:], net.metadata["output"]["temperature"] = 3e38, 20
    net.save(tmp_path / "model")
    with pytest.raises(ModelFormatError, match="the weights are too large"):
        fc.CharConvClassifier.load(tmp_path / "model")


@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_and_fifty_changed_metadata_are_refused_or_give_a_classifier(saved, tmp_path, seed):
    rng, text, refused, net = random.Random(seed), json.dumps(fc.load(saved[0]).metadata), 0, fc.load(saved[0])
    for _ in range(250):
        try:
            net.metadata = json.loads(edit(rng, text))
            net.save(tmp_path / "model")
        except (ValueError, TypeError, RecursionError):  # what JSON cannot say
            refused += 1
            continue
        for kind in (fc.CharConvClassifier, fc.StringClassifier):
            try:
                clf = kind.load(tmp_path / "model")
            except ModelFormatError as error:
                assert str(error).startswith(str(tmp_path / "model"))
                refused += kind is fc.CharConvClassifier
                continue
            p = clf.predict_proba(["Ng", ""])
            assert p.shape == (2, 4) and np.isfinite(p).all() and clf.predict(["Ng"]).shape == (1,)
            if kind is fc.StringClassifier:
                assert "alphabet" in clf.info()
    assert 100 < refused < 245
