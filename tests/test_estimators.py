"""Classifiers: scikit-learn's contract, and training as the Trainer does it."""

import datetime
import pickle

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastconv as fc
from fastconv import augment, errors
from fastconv.errors import DataError, DTypeError, FastconvError, ModelFormatError, RangeError, ShapeError

DIGITS = fc.datasets.load_digits()
X, Y = DIGITS.data[:200], DIGITS.target[:200]


def small(**settings):
    return fc.ImageConvClassifier(**{"filters": 4, "hidden": 8, "epochs": 2, "random_state": 0, **settings})


def bits(clf):
    return clf.network_.parameters.tobytes(), clf.network_.statistics.tobytes()


# scikit-learn's contract


def why_not(clf):
    reason = "batches and dropout: a weight of 2 is not the same sample twice, which may stand in two batches"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@parametrize_with_checks(
    [
        fc.ImageConvClassifier(image_shape=(1, -1, 1), random_state=0),
        fc.CharConvClassifier(input="codes", threads=1, random_state=0),
    ],
    expected_failed_checks=why_not,
)
def test_scikit_learn_s_checks_on_rows_as_images_of_one_line_and_on_codes(estimator, check):
    check(estimator)


def test_a_clone_has_the_parameters_and_is_not_fitted():
    clf = small(filters=(3, 5), augment=[augment.HorizontalFlip()], class_weight={0: 2.0}).fit(X, Y)
    copy = clone(clf)
    assert copy.get_params() == clf.get_params() and not hasattr(copy, "classes_")
    assert bits(copy.fit(X, Y)) == bits(clf)


def test_images_go_through_cross_validation_searches_and_pipelines():
    scores = cross_val_score(small(filters=16, hidden=32, epochs=10, learning_rate=0.02), X, Y, cv=3)
    assert len(scores) == 3 and min(scores) > 0.5
    inverted = make_pipeline(FunctionTransformer(lambda x: 1 - x), small())
    grid = {"imageconvclassifier__filters": [2, (2, 3)], "imageconvclassifier__batch_norm": [True, False]}
    search = GridSearchCV(inverted, grid, cv=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4 and search.predict(X).shape == (200,)


def test_rows_of_a_table_go_through_what_takes_tables_alone():
    clf, rows = small(filters=16, hidden=32, epochs=10, learning_rate=0.02), X.reshape(200, 64)
    assert BaggingClassifier(clf, n_estimators=2, random_state=0).fit(rows, Y).score(rows, Y) > 0.5


# Accuracy


def test_the_defaults_reach_98_percent_on_digits():
    clf = fc.ImageConvClassifier(random_state=0).fit(DIGITS.data[DIGITS.train], DIGITS.target[DIGITS.train])
    assert clf.score(DIGITS.data[DIGITS.validation], DIGITS.target[DIGITS.validation]) >= 0.98


# Images


@pytest.mark.parametrize("form", [
    X[..., 0], X.reshape(200, 64), X.astype(np.float64), X.tolist(), np.asfortranarray(X),
], ids=["no channel axis", "rows", "float64", "lists", "Fortran order"])  # fmt: skip
def test_an_image_is_the_same_in_every_form(form):
    clf = small().fit(X, Y)
    assert bits(small().fit(form, Y)) == bits(clf)
    assert np.array_equal(clf.predict_proba(form), clf.predict_proba(X))


def test_image_shape_says_what_rows_are(rng):
    x = rng.integers(0, 256, (30, 4, 6, 3)).astype(np.uint8)
    clf = small().fit(x, Y[:30])
    for shape in [(4, 6, 3), (4, -1, 3)]:
        rows = small(image_shape=shape).fit(x.reshape(30, 72), Y[:30])
        assert bits(rows) == bits(clf) and rows.n_features_in_ == clf.n_features_in_ == 72
    assert small(image_shape=(8, -1)).fit(X.reshape(200, 64), Y).network_.input.shape == (8, 8, 1)


@pytest.mark.parametrize("scale, dtype", [(1, np.float32), (16, np.uint8), (16, np.int64), (-1e6, np.float64)])
def test_the_network_sees_images_standardised_by_those_it_was_trained_on(scale, dtype):
    x = (X * scale).astype(dtype)
    clf = small().fit(x[:150], Y[:150])
    scaler = StandardScaler().fit(x[:150].reshape(-1, 1).astype(np.float64))
    expected = scaler.transform(x.reshape(-1, 1).astype(np.float64)).reshape(x.shape)
    np.testing.assert_allclose(clf.network_.forward(expected), clf.decision_function(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape, sizes", [
    ((8, 8, 1), [(8, 8, 32), (4, 4, 64), (2, 2, 64)]),
    ((28, 28, 1), [(28, 28, 32), (14, 14, 64), (7, 7, 128), (3, 3, 128)]),
    ((32, 32, 3), [(32, 32, 32), (16, 16, 64), (8, 8, 128), (4, 4, 128)]),
    ((1, 9, 1), [(1, 9, 32), (1, 4, 64), (1, 2, 64)]),
    ((2, 2, 2), [(2, 2, 32), (2, 2, 32)]),
])  # fmt: skip
def test_the_architecture_follows_the_size_of_the_images(rng, shape, sizes):
    net = small(filters=None, epochs=1).fit(rng.normal(size=(4, *shape)), [0, 1, 0, 1]).network_
    shapes = [shape]
    for layer in net.layers:
        shapes.append(layer.output_shape(shapes[-1], False))
    kinds = [type(layer).__name__ for layer in net.layers]
    assert [shapes[i + 1] for i in range(len(kinds)) if kinds[i] == "Conv2D"] == sizes[:-1]
    assert shapes[kinds.index("Flatten")] == sizes[-1]


def test_parameters_say_what_the_layers_are():
    clf = small(filters=(3, 5), kernel_size=(5, 3), hidden=(7, 6), dropout=0.4, batch_norm=False).fit(X, Y)
    same = {"kernel_size": (5, 3), "padding": "same"}
    assert clf.network_.layers == [
        fc.Conv2D(3, **same), fc.ReLU(), fc.MaxPool2D(2), fc.Conv2D(5, **same), fc.ReLU(), fc.MaxPool2D(2),
        fc.Flatten(),
        fc.Dropout(0.4), fc.Dense(7), fc.ReLU(), fc.Dropout(0.4), fc.Dense(6), fc.ReLU(), fc.Dropout(0.4), fc.Dense(10),
    ]  # fmt: skip


# Labels


DAYS = np.array([datetime.date(2000, 1, 1 + k) for k in range(10)])


@pytest.mark.parametrize("names", [
    np.array(list("ghijklmnop")), np.array(list("ghijklmnop"), object), np.arange(-5, 5), np.arange(10.0), DAYS,
    np.arange("2000-01", "2000-11", dtype="datetime64[M]"), np.arange(10).astype(np.uint8),
], ids=lambda names: str(names.dtype))  # fmt: skip
def test_labels_are_of_any_kind_that_can_be_sorted(names):
    clf, plain = small().fit(X, names[Y]), small().fit(X, Y)
    assert bits(clf) == bits(plain)
    assert clf.classes_.dtype == names.dtype and np.array_equal(clf.classes_, names)
    assert np.array_equal(clf.predict(X), names[plain.predict(X)])


def test_decisions_are_logits_and_probabilities_their_softmax():
    clf = small().fit(X, Y)
    assert clf.decision_function(X).shape == (200, 10)
    np.testing.assert_allclose(clf.predict_proba(X), softmax(clf.decision_function(X), axis=1), rtol=1e-4, atol=1e-7)
    two = small().fit(X, Y % 2 == 0)
    assert two.classes_.tolist() == [False, True]
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], expit(two.decision_function(X)), rtol=1e-4, atol=1e-7)
    assert np.array_equal(two.predict(X), two.decision_function(X) > 0)


# Training


def by_hand(clf, rate, epochs, **settings):
    """The bits that the Trainer gives for the classifier's network and seed."""
    net = fc.Sequential(clf.network_.layers, clf.network_.input, seed=clf.network_.seed)
    trainer = fc.Trainer(net, optimizer=fc.AdamW(rate), batch_size=64, seed=net.seed, **settings)
    trainer.fit(fc.preprocess.Standardize().fit_transform(X), Y, epochs=epochs)
    return net.parameters.tobytes(), net.statistics.tobytes()


@pytest.mark.parametrize("augmentations", [None, [augment.RandomCrop(1), augment.MixUp(0.3)]], ids=["plain", "augment"])
def test_fit_is_one_cycle_of_adamw(augmentations):
    clf = small(learning_rate=0.01, epochs=3, augment=augmentations).fit(X, Y)
    cycle = fc.schedules.OneCycle(0.01, updates=3 * 4)
    assert bits(clf) == by_hand(clf, cycle, 3, augment=augmentations)
    assert len(clf.history_) == 3 and len(clf.history_.batch_losses) == 12


def test_a_schedule_is_followed():
    schedule = fc.schedules.Exponential(0.01, 0.9)
    clf = small(learning_rate=schedule).fit(X, Y)
    assert bits(clf) == by_hand(clf, schedule, 2)


def test_what_was_learnt_before_an_interrupt_is_kept():
    def rate(update):
        if update == 6:
            raise KeyboardInterrupt
        return 0.01

    clf = small(learning_rate=rate)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert bits(clf) == by_hand(clf, 0.01, 1)
    assert clf.predict(X).shape == (200,)


def test_partial_fit_is_an_epoch_at_a_constant_rate_that_goes_on():
    clf = small(learning_rate=0.01).partial_fit(X, Y, classes=range(9, -1, -1))
    clf.partial_fit(X, Y)
    clf = pickle.loads(pickle.dumps(clf)).partial_fit(X, Y)
    assert bits(clf) == by_hand(clf, 0.01, 3)
    assert len(clf.history_) == 3


def test_partial_fit_goes_on_from_fit_and_needs_not_all_classes():
    clf = small().fit(X, Y)
    before = clf.network_.parameters.copy()
    rows = Y < 3
    clf.set_params(learning_rate=1e-9).partial_fit(X[rows], Y[rows])
    assert clf.classes_.tolist() == list(range(10))
    assert clf.history_["lr"].tolist() == [1e-9]
    assert 0 < np.abs(clf.network_.parameters - before).max() < 1e-7


def test_a_warm_start_goes_on_from_what_is_fitted():
    cold, warm = small().fit(X, Y), small(warm_start=True).fit(X, Y)
    assert bits(warm) == bits(cold)
    before = warm.network_.parameters.copy()
    warm.set_params(learning_rate=1e-9).fit(X[::2] * 2, Y[::2])
    assert 0 < np.abs(warm.network_.parameters - before).max() < 1e-7
    assert np.array_equal(warm.preprocess_.mean, cold.preprocess_.mean)
    assert bits(cold.fit(X, Y)) == bits(small().fit(X, Y))


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads():
    expected = bits(small(threads=1, early_stopping=True).fit(X, Y))
    assert all(bits(small(threads=n, early_stopping=True).fit(X, Y)) == expected for n in (2, 3))
    assert bits(small(random_state=1).fit(X, Y)) != bits(small(random_state=0).fit(X, Y))
    assert bits(small(random_state=None).fit(X, Y)) != bits(small(random_state=None).fit(X, Y))


def test_class_weights_are_sample_weights():
    y = np.array(["few", "many"])[(np.arange(200) % 10 > 0).astype(int)]
    few, many = compute_class_weight("balanced", classes=np.unique(y), y=y)
    by_sample = bits(small().fit(X, y, sample_weight=np.where(y == "few", few, many)))
    assert bits(small(class_weight="balanced").fit(X, y)) == by_sample
    assert bits(small(class_weight={"few": few, "many": many}).fit(X, y)) == by_sample
    assert bits(small(class_weight={"few": 7.0}).fit(X, y)) == bits(
        small(class_weight={"few": 7.0, "many": 1}).fit(X, y)
    )
    assert bits(small(class_weight={"few": 7.0}).partial_fit(X, y, y)) != bits(small().partial_fit(X, y, y))


def test_samples_of_weight_zero_teach_nothing():
    wrong = np.arange(200) % 2 == 0
    y = np.where(wrong, 9 - Y, Y)
    clf = small(epochs=30, learning_rate=0.02, dropout=0).fit(X, y, sample_weight=(~wrong).astype(int))
    assert clf.score(X[~wrong], Y[~wrong]) > 0.9 and clf.score(X[wrong], Y[wrong]) > 0.5


# Early stopping


def test_early_stopping_keeps_the_best_of_what_was_held_out(fits):
    noise = np.random.default_rng(0).integers(0, 3, 200)
    weights = np.linspace(0.5, 1, 200)
    clf = small(early_stopping=True, validation_fraction=0.25, n_iter_no_change=3, epochs=50)
    clf.fit(X, noise, sample_weight=weights)
    [(x, y, keywords)] = fits
    held_out, labels = keywords["validation"]
    accuracies = clf.history_["validation_accuracy"]
    best = accuracies.argmax()
    assert len(accuracies) == best + 1 + 3 < 50
    assert clf.network_.evaluate(held_out, labels)[1] == accuracies[best]
    assert np.array_equal(np.bincount(labels), np.rint(np.bincount(noise) * 0.25))
    together = np.concatenate([x, held_out]).reshape(200, -1)
    assert len(np.unique(together, axis=0)) == len(np.unique(X.reshape(200, -1), axis=0))
    assert len(keywords["sample_weight"]) == len(y) and set(keywords["sample_weight"]) < set(weights)
    assert abs(x.mean()) < 1e-5 and abs(x.std() - 1) < 1e-5


# Model files


@pytest.mark.parametrize("names", [np.array(list("ghijklmnop")), np.array(list("ghijklmnop"), object), np.arange(-5, 5),
                                   np.arange(10.0), np.arange(10) > 4],
                         ids=["strings", "objects", "integers", "floats", "truth values"])  # fmt: skip
def test_a_model_file_gives_the_same_predictions(tmp_path, names):
    clf = small(filters=(3, 4)).fit(X, names[Y])
    clf.save(tmp_path / "model")
    again = fc.ImageConvClassifier.load(tmp_path / "model")
    assert again.classes_.tolist() == clf.classes_.tolist() and again.n_features_in_ == 64
    assert np.array_equal(again.predict(X), clf.predict(X))
    for images in (X, X.reshape(200, 64)):
        assert np.array_equal(again.predict_proba(images), clf.predict_proba(X))
    assert again.get_params() == clf.get_params()
    assert bits(again.set_params(warm_start=True).fit(X, names[Y])) != bits(clf)
    assert np.array_equal(fc.load(tmp_path / "model").parameters, clf.network_.parameters)


def test_a_model_file_holds_the_parameters_that_json_knows(tmp_path):
    plain = {"filters": (3,), "epochs": np.int64(1), "dropout": np.float64(0.5), "class_weight": {"few": 2.0}}
    others = {"learning_rate": fc.schedules.Constant(0.01), "random_state": np.random.RandomState(0)}
    others["augment"] = [augment.HorizontalFlip()]
    small(**plain, **others).fit(X, np.where(Y == 0, "few", "many")).save(tmp_path / "model")
    defaults = {name: fc.ImageConvClassifier().get_params()[name] for name in others}
    assert fc.ImageConvClassifier.load(tmp_path / "model").get_params() == small(**plain, **defaults).get_params()
    small(class_weight={0: 2.0}).fit(X, Y).save(tmp_path / "model")  # JSON would make it {"0": 2.0}
    assert fc.ImageConvClassifier.load(tmp_path / "model").class_weight is None


DAMAGES = {
    "no classifier": lambda m: m.clear(),
    "another class": lambda m: m.update(estimator="CharConvClassifier"),
    "an unknown parameter": lambda m: m["parameters"].update(depth=3),
    "a class too few": lambda m: m["classes"].pop(),
    "classes of two kinds": lambda m: m["classes"].__setitem__(0, "zero"),
    "classes in classes": lambda m: m["classes"].__setitem__(0, [0]),
    "no preprocessing": lambda m: m["input"].clear(),
    "preprocessing of other images": lambda m: m["input"]["arrays"].update(mean=[0, 0], deviation=[1, 1]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_file_is_refused(tmp_path, damage):
    clf = small().fit(X, Y)
    clf.save(tmp_path / "model")
    damage(clf.network_.metadata)
    clf.network_.save(tmp_path / "model")
    with pytest.raises(ModelFormatError, match="model: not a model file of ImageConvClassifier: "):
        fc.ImageConvClassifier.load(tmp_path / "model")


def test_labels_that_json_does_not_know_are_not_saved(tmp_path):
    with pytest.raises(DTypeError, match=r"save: expected labels that are strings, .* got datetime.date\(2000, 1, 1\)"):
        small().fit(X, DAYS[Y]).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


# What does not fit


def changed(at, value):
    x = X.copy()
    x[at] = value
    return x


STOPPING = {"early_stopping": True}
MIXED = np.array([1, "a"] * 100, object)
REFUSED = {
    "one image": (X[0, :, :, 0].ravel(), Y, {}, DataError, "fit: Expected 2D array, got 1D array"),
    "five axes": (X[None], Y, {}, ShapeError, r"fit: expected images \(N, height, width, channels\), got \(1, 200, 8,"),
    "rows": (X.reshape(200, 64)[:, 1:], Y, {}, ShapeError, r"for rows of 63 numbers give image_shape=\(height, width"),
    "image_shape": (X.reshape(200, 64), Y, {"image_shape": (7, 9)}, ShapeError, r"fit: .* rows of 64 .* got \(7, 9\)"),
    "image_shape of four": (X.reshape(200, 64), Y, {"image_shape": (8, 8, 1, 1)}, ShapeError, "fit: .* rows of 64"),
    "image_shape of one": (X.reshape(200, 64), Y, {"image_shape": 8}, ShapeError, "fit: .* rows of 64 numbers, got 8"),
    "no image": (X[:0], Y[:0], {}, DataError, r"fit: Found array with 0 sample\(s\)"),
    "no pixel": (X[:, :0], Y, {}, DataError, r"fit: Found array with 0 feature\(s\)"),
    "text": (np.full((200, 8, 8), "a"), Y, {}, DataError, "fit: .*numeric"),
    "NaN": (changed((3, 3), np.nan), Y, {}, DataError, "fit: Input X contains NaN"),
    "infinity": (changed((3, 3), np.inf), Y, {}, DataError, "fit: Input X contains infinity"),
    "other numbers": (X, Y[:-1], {}, DataError, "fit: .*inconsistent numbers of samples"),
    "one class": (X, Y * 0, {}, DataError, r"fit: expected labels of two classes or more, got 1 class, \[0\]"),
    "fractions": (X, Y / 3, {}, DataError, "fit: Unknown label type: continuous"),
    "mixed labels": (X, MIXED, {}, DTypeError, "fit: expected labels of one kind that can be sorted, got .*1, 'a'"),
    "no labels": (X, None, {}, DataError, "fit: y should be a 1d array"),
    "epochs": (X, Y, {"epochs": 0}, RangeError, "fit: epochs: expected a positive integer, got 0"),
    "batch_size": (X, Y, {"batch_size": 0}, RangeError, "fit: batch_size: expected a positive integer, got 0"),
    "n_iter_no_change": (X, Y, {"n_iter_no_change": 0}, RangeError, "fit: n_iter_no_change: expected a positive"),
    "filters": (X, Y, {"filters": (4, -1)}, RangeError, "Conv2D: filters: expected a positive integer, got -1"),
    "hidden": (X, Y, {"hidden": 0}, RangeError, "Dense: units: expected a positive integer, got 0"),
    "dropout": (X, Y, {"dropout": 1}, RangeError, r"Dropout: rate lies in \[0, 1\), got 1"),
    "learning_rate": (X, Y, {"learning_rate": -1}, RangeError, "OneCycle: eta_max must be positive and finite, got -1"),
    "class_weight": (X, Y, {"class_weight": "even"}, RangeError, "class_weight is 'balanced', .* got 'even'"),
    "class_weight's labels": (X, Y, {"class_weight": {"a": 1}}, DataError, "class_weight: The classes, .* are not in"),
    "augment": (X, Y, {"augment": ["flip"]}, DTypeError, "expected an augmentation, got 'flip'"),
    "validation_fraction": (X, Y, {**STOPPING, "validation_fraction": 1}, RangeError, r"lies in \(0, 1\), got 1"),
    "nothing held out": (X[:9], Y[:9], STOPPING, DataError, "of 9 samples leaves none to validate on"),
}  # fmt: skip


@pytest.mark.parametrize("x, y, settings, error, message", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_leaves_the_classifier_as_it_was(x, y, settings, error, message):
    clf = small().fit(X, Y)
    before = bits(clf)
    with pytest.raises(error, match=message) as raised:
        clf.set_params(**settings).fit(x, y)
    assert isinstance(raised.value, FastconvError)
    assert bits(clf) == before and clf.score(X, Y) == small().fit(X, Y).score(X, Y)


@pytest.mark.parametrize("weight, message", [
    (np.ones(199), "fit: .*inconsistent numbers"), (np.ones((200, 2)), "sample_weight: expected shape"),
    (-np.ones(200), "sample_weight: expected finite numbers >= 0"), (np.zeros(200), "fit: sample_weight is zero"),
])  # fmt: skip
def test_sample_weights_that_do_not_fit_are_refused(weight, message):
    with pytest.raises(FastconvError, match=message):
        small().fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize("call", ["predict", "predict_proba", "forward"])
def test_images_of_another_size_are_refused(call):
    clf = small().fit(X, Y)
    name = "decision_function" if call == "forward" else call
    with pytest.raises(ShapeError, match=rf"{call}: expected images \(N, 8, 8, 1\), got \(200, 7, 8, 1\)"):
        getattr(clf, name)(X[:, 1:])
    with pytest.raises(DataError, match=f"{call}: X has 63 features, but ImageConvClassifier is expecting 64 features"):
        getattr(clf, name)(X.reshape(200, 64)[:, 1:])
    with pytest.raises(DataError, match=f"{call}: Input X contains NaN"):
        getattr(clf, name)(changed((0, 0), np.nan))


def test_what_needs_fitting_says_so(tmp_path):
    for kind in (NotFittedError, errors.NotFittedError):
        with pytest.raises(kind, match="predict: this ImageConvClassifier has not been fitted"):
            small().predict(X)
        with pytest.raises(kind, match="save: this ImageConvClassifier has not been fitted"):
            small().save(tmp_path / "model")


def test_labels_and_images_stay_of_their_kind_in_further_calls():
    clf = small(warm_start=True).fit(X, Y)
    for call in (clf.fit, clf.partial_fit):
        with pytest.raises(RangeError, match=r"expected labels among \[0, 1, .*\], got 10"):
            call(X, Y + 1)
        with pytest.raises(RangeError, match=r"expected labels among \[0, 1, .*\], got '0'"):
            call(X, Y.astype(str))
        with pytest.raises(ShapeError, match=r"expected images \(N, 8, 8, 1\)"):
            call(X[:, :4], Y)
    with pytest.raises(RangeError, match=r"partial_fit: the classes are \[0, .* got \[0, 1\]"):
        clf.partial_fit(X, Y, classes=[0, 1])


def test_partial_fit_asks_for_all_classes_first_and_takes_no_balanced_weights():
    with pytest.raises(DataError, match="partial_fit: expected classes in the first call, got None"):
        small().partial_fit(X, Y)
    with pytest.raises(RangeError, match="partial_fit: class_weight is a dict or None, got 'balanced'"):
        small(class_weight="balanced").partial_fit(X, Y, range(10))


@pytest.mark.parametrize("verbose", [False, True])
def test_verbose_shows_a_progress_bar(capsys, verbose):
    small(verbose=verbose).fit(X, Y).partial_fit(X, Y)
    assert ("update" in capsys.readouterr().err) == verbose
