"""How many labels of a data set are wrong, how, and which: from the labels and from what a witness says of the images.

Arrays to numbers, never TensorFlow. Throughout, `folders` is where the images are filed, int (n,); `probabilities` is
what a witness says that did not learn from these images' own labels, float (n, K), rows summing to 1; and a transition
matrix is float (K, K), row j the probabilities of the folders that an image of class j is filed in.

A network that learnt from the labels cannot be asked whether they are right: all of its doubts may be theirs, and by
likelihood alone no label is wrong and the network as unsure as it says. What tells the two apart is an assumption, that
of anchor points (Patrini et al. 2017): of the images of each class the witness knows some for certain. Labels that are
wrong whatever the image shows are so among the images that it is surest of, too; its own mistakes are rare there.
"""

import dataclasses

import numpy as np

from midas.metrics import complementary
from midas.metrics.classification import wilson_interval
from midas.metrics.complementary import TINY, even_transition

SUREST = 0.25  # the part of each class's answers, the surest ones, from which the share of right labels is taken
# Among these a witness is mistaken less often than among all: at most so many times as often, by how often it is among
# all. The line runs above what 27 cross-validated networks showed, on drawings and MNIST, labels wrong or not:
# ratios of 0 to 0.12 where fewer than 10 % of all answers are wrong, 0.23 to 0.37 up to 45 %, then up to 1.
ERRORS, RATIOS = (0.0, 0.1, 0.5, 0.7, 1.0), (0.2, 0.4, 0.55, 0.95, 1.0)
USUAL = 0.5  # of that ratio is what is usual
SIGNIFICANCE = 0.01  # of what a verdict rests on; a tool that is asked often must not cry wolf every twentieth time
CLEAN = 0.05  # no more labels than this may be wrong for a set to be called clean: learning is hardly hurt by so few
NOISY = 0.01  # fewer wrong labels than this are not told from what even a good witness is sure of and mistaken in
FAR_BELOW = 0.5  # of chance: where fewer are filed right than this, folders say better what an image is not
FLAT = 0.2  # Cohen's (1988) w, up to which folders count as equally frequent among all outputs but the smallest
EVEN = 0.1  # Cramer's V up to which wrong labels count as even: Cohen's (1988) small effect
EXPECTED = 1.0  # images a pair of class and folder that the test for evenness needs (Cochran 1954)
PRIOR = 10.0  # images a class that are added in proportions that are the same for all, so that none counts for all
SUSPECTED = 0.5  # an image that is less probably filed right than this is called misfiled

CLEAN_VERDICT, NOISY_VERDICT, COMPLEMENTARY, UNDECIDED = "clean", "noisy", "complementary", "undecided"


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the witness takes each image for, and whether that has to do with the labels at all.

    Attributes:
        classes: int (n,), the answers.
        rank: float (n,) in 0-1, the place of an answer among all answers of its class; the surest come first.
        smallest: whether they are the classes of the smallest probability instead of the largest.
        agreeing: the share that is the image's folder.
        chance: what that share would be if folders had nothing to do with the answers.
        p_value: of no more than this being at work: the binomial test against `chance`.
    """

    classes: np.ndarray
    rank: np.ndarray
    smallest: bool
    agreeing: float
    chance: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class Share:
    """How many of some images are filed right.

    Attributes:
        images: how many there are, by the witness's answers.
        right: the share that is filed right, if the witness is as good among its surest answers as is usual.
        interval: its bounds: 95 % of sampling, and the witness anything from infallible there to `risk`.
        all_right_p: of all of them being right, what disagrees being mistakes of the witness.
        none_right_p: of all of them being wrong, what agrees being mistakes of the witness.
    """

    images: int
    right: float
    interval: tuple[float, float]
    all_right_p: float
    none_right_p: float


@dataclasses.dataclass(frozen=True)
class Audit:
    """What was found out about the labels.

    Attributes:
        verdict: "clean", "noisy", "complementary" (nearly all labels are wrong) or "undecided".
        answers: of the witness.
        share: of all images that are filed right.
        by_class: the same for the images that the witness takes for each class; None where there is none.
        wrong_classes: those of which some labels are wrong for certain, whatever the whole set looks like.
        transition: float (K, K), by maximum likelihood.
        uneven_p, uneven_effect: chi-square test of the wrong labels being even over the other folders, and Cramer's V,
            from 0 for even to 1 for each class in one folder, corrected for chance; None where there are too few.
        pairs: (class, folder, share of the class's wrong labels) of each pair that stands out, the largest first.
        in_pairs: the share of all wrong labels that these pairs hold.
        posterior: float32 (n, K), which class an image is of, given what it shows and where it is filed.
        filed_right: float32 (n,), the probability that it is of its folder's class.
    """

    verdict: str
    answers: Answers
    share: Share
    by_class: list[Share | None]
    wrong_classes: list[int]
    transition: np.ndarray
    uneven_p: float | None
    uneven_effect: float | None
    pairs: list[tuple[int, int, float]]
    in_pairs: float
    posterior: np.ndarray
    filed_right: np.ndarray

    @property
    def told(self) -> bool:
        """Whether the witness's answers have anything to do with the labels; if not, no number here means anything."""
        return self.answers.p_value < SIGNIFICANCE


def audit(probabilities: np.ndarray, folders: np.ndarray, independent: bool) -> Audit:
    """Find out how many labels are wrong, how, and which.

    Args:
        probabilities: what the witness says.
        folders: where the images are filed.
        independent: the witness is a network that never saw these labels, so that its answers are classes; otherwise
            they are folders that it expects, and may have to be read by the smallest.

    Raises:
        ValueError: there are fewer than two classes, or no images.
    """
    classes = probabilities.shape[1]
    if classes < 2 or not len(folders):
        raise ValueError("labels can be audited only where there are images and two classes")
    answers = read(probabilities, folders, independent)
    agrees = answers.classes == folders
    surest = answers.rank < SUREST
    by_class = [
        share_right(agrees[of], surest[of], classes) if of.any() else None for of in answers.classes == np.c_[:classes]
    ]
    wrong_classes = [
        label
        for label, share in enumerate(by_class)
        if share and share.all_right_p * classes < SIGNIFICANCE and 1 - share.interval[1] > NOISY
    ]
    share = share_right(agrees, surest, classes)
    # What is wrong in single classes may be lost among the witness's mistakes in all the others.
    wrong = [by_class[label] for label in wrong_classes]
    right = min(share.right, 1 - sum(of.images * (1 - of.right) for of in wrong) / len(folders))
    low, high = share.interval
    high = max(low, min(high, 1 - sum(of.images * (1 - of.interval[1]) for of in wrong) / len(folders)))
    share = dataclasses.replace(share, right=right, interval=(low, high))
    sure = certainty(agrees, answers.rank, share.right, classes)
    witness = class_probabilities(probabilities, answers, sure, share.right, independent)
    matrix, _ = estimate_transition(witness, folders, share.right)
    posterior = complementary.posterior(witness, folders, matrix)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (answers.classes[surest], folders[surest]), 1)
    pairs = standing_out(counts)
    misfiled = int(counts.sum() - counts.trace())
    return Audit(
        decide(answers, share, wrong_classes, classes),
        answers,
        share,
        by_class,
        wrong_classes,
        matrix,
        *evenness(counts),
        pairs,
        sum(int(counts[row, column]) for row, column, _ in pairs) / max(1, misfiled),
        posterior,
        posterior[np.arange(len(folders)), folders],
    )


def read(probabilities: np.ndarray, folders: np.ndarray, independent: bool) -> Answers:
    """Take the witness's answers from its probabilities.

    A network that was trained on folders gives the least probability to the class if images are in every folder but
    their own. Then its smallest output is the folder less often than chance, and all others equally often. That all
    others are alike tells such labels from those that a network has hardly begun to learn, where it rules folders out
    by degrees. With two classes it is always the largest that is read, as "not the one" is the other.
    """
    classes = probabilities.shape[1]
    exact = probabilities.astype(np.float64)
    if not independent and classes > 2:
        answers = _answers(exact, exact.argmin(axis=1), folders, smallest=True, alternative="less")
        if answers.p_value < SIGNIFICANCE and _flat(exact, folders):
            return answers
    return _answers(exact, exact.argmax(axis=1), folders, False, "two-sided" if independent else "greater")


def _answers(exact: np.ndarray, chosen: np.ndarray, folders: np.ndarray, smallest: bool, alternative: str) -> Answers:
    from scipy.stats import binomtest

    n, classes = exact.shape
    of_chosen = exact[np.arange(n), chosen]
    # The rest's sum still tells apart those whose probability is 1 in floating point.
    unsure = of_chosen if smallest else exact.sum(axis=1) - of_chosen
    agreeing = int((chosen == folders).sum())
    chance = min(1.0, float(np.bincount(chosen, minlength=classes) @ np.bincount(folders, minlength=classes)) / n**2)
    p_value = float(binomtest(agreeing, n, chance, alternative).pvalue)
    return Answers(chosen, _rank(chosen, unsure), smallest, agreeing / n, chance, p_value)


def _flat(exact: np.ndarray, folders: np.ndarray) -> bool:
    """Whether the folder is as often the largest output as the second, and so on, down to the smallest but one."""
    n, classes = exact.shape
    exact = exact * (1 + 1e-9 * np.random.default_rng(0).random(exact.shape))  # no two alike, to the last digit
    larger = (exact > exact[np.arange(n), folders][:, None]).sum(axis=1)
    counts = np.bincount(larger, minlength=classes)[: classes - 1]
    expected = counts.sum() / (classes - 1)
    statistic = ((counts - expected) ** 2).sum() / max(expected, TINY)
    return bool(max(0.0, statistic - (classes - 2)) <= FLAT**2 * counts.sum())


def _rank(chosen: np.ndarray, unsure: np.ndarray) -> np.ndarray:
    """Rank answers of each class by sureness, 0-1; equals in random order, as data sets are ordered by folder."""
    rank = np.empty(len(chosen))
    order = np.lexsort((np.random.default_rng(0).random(len(chosen)), unsure))
    for label in np.unique(chosen):
        members = order[chosen[order] == label]
        rank[members] = np.arange(len(members)) / len(members)  # so that of each class one at least is among the surest
    return rank


def risk(error: np.ndarray | float) -> np.ndarray:
    """Bound how often a witness is mistaken among its surest answers, as a part of how often it is among all."""
    return np.interp(error, ERRORS, RATIOS)


def share_right(agrees: np.ndarray, surest: np.ndarray, classes: int) -> Share:
    """Estimate the share of images filed right from how often the surest answers are the folder.

    If a share r of the labels is right, and the others evenly wrong whatever the image shows, then answers that are
    wrong at a rate e agree with the folder at a rate of r - e (K r - 1) / (K - 1). For each r, the agreement of all
    answers thus tells how many of them are wrong, and that of the surest how many of these; r is possible if the latter
    are at least none and at most what `risk` allows.

    Args:
        agrees: bool (n,), the answer is the folder.
        surest: bool (n,), the answer is one of the surest; any of them.
        classes: K.
    """
    agreement, overall = float(agrees[surest].mean()), float(agrees.mean())
    shares = np.linspace(0, 1, 2001)
    shares = shares[(shares - 1 / classes) * (agreement - 1 / classes) > 0]  # chance is not crossed
    slopes = (classes * shares - 1) / (classes - 1)
    errors, of_surest = (shares - overall) / slopes, (shares - agreement) / slopes
    most = risk(errors) * errors
    possible = (errors >= 0) & (errors <= 1 - 1 / classes) & (of_surest >= 0) & (of_surest <= most)
    bounds, right = (agreement, agreement), agreement
    if possible.any():
        bounds = min(agreement, shares[possible].min()), max(agreement, shares[possible].max())
        right = shares[possible][np.abs(of_surest - USUAL * most)[possible].argmin()]
    low, high = wilson_interval(int(agrees[surest].sum()), int(surest.sum()))
    return Share(
        len(agrees),
        float(right),
        (max(0.0, low + float(bounds[0]) - agreement), min(1.0, high + float(bounds[1]) - agreement)),
        mistakes_of_witness(~agrees, surest, 1 - overall),
        _none_right(agrees, surest, classes),
    )


def _none_right(agrees: np.ndarray, surest: np.ndarray, classes: int) -> float:
    """Test whether every label can be wrong, and evenly: then even mistakes agree at a rate of 1 / (K - 1) at most."""
    from scipy.stats import binom

    too_many = float(binom.sf(agrees.sum() - 1, len(agrees), 1 / (classes - 1)))
    by_sureness = mistakes_of_witness(agrees, surest, min(1.0, (classes - 1) * float(agrees.mean())))
    return min(1.0, 2 * min(too_many, by_sureness))  # Bonferroni, for two tests


def mistakes_of_witness(events: np.ndarray, surest: np.ndarray, error: float) -> float:
    """Test whether what happened, bool (n,), can all be mistakes of the witness, then wrong at this rate: a p-value.

    Among the surest answers are at most `risk` times as many as among all, so of their number a binomial share.
    """
    from scipy.stats import binom

    return float(binom.sf(events[surest].sum() - 1, events.sum(), risk(error) * surest.mean()))


def certainty(agrees: np.ndarray, rank: np.ndarray, right: float, classes: int) -> np.ndarray:
    """Estimate how probably each answer is right from how often others as sure agree with the folder: float (n,).

    Calibration by isotonic regression (Zadrozny and Elkan 2002), whose targets are labels that are right for a share
    `right` and else evenly wrong. The surest are taken together, as that share was found with them.
    """
    from sklearn.isotonic import IsotonicRegression

    other = (1 - right) / (classes - 1)
    if abs(right - other) < TINY:  # labels that say nothing about images say nothing about the witness
        return np.full(len(rank), 1 / classes)
    agreement = IsotonicRegression(increasing=bool(right < other)).fit_transform(rank, agrees.astype(np.float64))
    agreement[rank < SUREST] = agrees[rank < SUREST].mean()
    most = 1 - 1 / (2 + np.count_nonzero(rank < SUREST))  # Laplace's rule of succession, for as many without a mistake
    return np.clip((agreement - other) / (right - other), 1 / classes, most)


def class_probabilities(
    probabilities: np.ndarray, answers: Answers, sure: np.ndarray, right: float, independent: bool
) -> np.ndarray:
    """Make probabilities of true classes: `sure` for the answer, the rest as the witness shares it out; float (n, K).

    Probabilities g of folders are turned into those of classes p by the even transition with the share `right`, r:
    g = r p + (1 - r) (1 - p) / (K - 1), so that p = (g - o) / (r - o) with o = (1 - r) / (K - 1), but not below 0.
    """
    n, classes = probabilities.shape
    found = probabilities.astype(np.float64)
    if not independent:
        other = (1 - right) / (classes - 1)
        found = (found - other) * np.sign(right - other)
    found = np.maximum(found, TINY)
    found[np.arange(n), answers.classes] = 0
    found *= ((1 - sure) / found.sum(axis=1))[:, None]
    found[np.arange(n), answers.classes] = sure
    return found


def estimate_transition(
    witness: np.ndarray, folders: np.ndarray, right: float, rounds: int = 500
) -> tuple[np.ndarray, np.ndarray]:
    """Maximise sum_i ln sum_j p_ij T[j, folder_i] over transition matrices T by expectation maximisation.

    With the witness's probabilities p held fixed this has one maximum. `PRIOR` images a class are added that are filed
    right for the share `right` and else evenly wrong; they matter only where a class has few.

    Returns:
        T, and the images by true class and folder that are expected with it, without those added.
    """
    classes = witness.shape[1]
    groups = [witness[folders == folder] for folder in range(classes)]
    usual = even_transition(classes, float(np.clip(right, 0.01, 0.99)))  # from 0 nothing would ever rise
    matrix, expected = usual, np.zeros((classes, classes))
    for _ in range(rounds):
        for folder, group in enumerate(groups):
            joint = group * matrix[:, folder]
            expected[:, folder] = (joint / np.maximum(joint.sum(axis=1, keepdims=True), TINY)).sum(axis=0)
        before, matrix = matrix, expected + PRIOR * even_transition(classes, right)
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
        if np.abs(matrix - before).max() < 1e-6:
            break
    return matrix, expected


def evenness(counts: np.ndarray) -> tuple[float | None, float | None]:
    """Test whether wrong labels are spread evenly over the other folders of their class.

    Pearson's chi-square test by row, with K - 2 degrees of freedom each, and Cramer's V corrected for chance (Bergsma
    2013): sqrt(max(0, X2 - df) / (N (K - 2))), which does not grow with the number of images.

    Args:
        counts: int (K, K), images by class and folder.

    Returns:
        The p-value and V; None where there are fewer than three classes or than `EXPECTED` wrong labels a pair.
    """
    from scipy.stats import chi2

    classes = len(counts)
    wrong = counts * ~np.eye(classes, dtype=bool)
    rows = wrong[wrong.sum(axis=1) > 0]
    if classes < 3 or wrong.sum() < EXPECTED * max(len(rows), 1) * (classes - 1):
        return None, None
    expected = rows.sum(axis=1, keepdims=True) / (classes - 1)
    # The class's own folder is 0 in `rows` and no cell: what it would add is taken off again.
    statistic = float((((rows - expected) ** 2 / expected).sum(axis=1) - expected[:, 0]).sum())
    freedom = len(rows) * (classes - 2)
    effect = np.sqrt(max(0.0, statistic - freedom) / (wrong.sum() * (classes - 2)))
    return float(chi2.sf(statistic, freedom)), float(effect)


def standing_out(counts: np.ndarray) -> list[tuple[int, int, float]]:
    """Find the pairs of class and folder with more wrong labels than an even spread would give.

    At least twice as many, and by a binomial test at `SIGNIFICANCE` after Bonferroni's correction for all pairs.

    Args:
        counts: int (K, K), images by class and folder.

    Returns:
        (class, folder, share of the class's wrong labels), the largest count first.
    """
    from scipy.stats import binom

    classes = len(counts)
    if classes < 3:
        return []
    wrong = counts * ~np.eye(classes, dtype=bool)
    total = wrong.sum(axis=1, keepdims=True)
    p_value = binom.sf(wrong - 1, total, 1 / (classes - 1))
    found = (p_value * classes * (classes - 1) < SIGNIFICANCE) & (wrong * (classes - 1) >= 2 * total) & (wrong > 0)
    order = sorted(zip(*np.nonzero(found), strict=True), key=lambda pair: -wrong[pair])
    return [(int(row), int(column), float(wrong[row, column] / total[row, 0])) for row, column in order]


def decide(answers: Answers, share: Share, wrong_classes: list[int], classes: int) -> str:
    """Give the verdict that the numbers allow, or "undecided"."""
    low, high = share.interval
    if answers.p_value >= SIGNIFICANCE:
        return UNDECIDED
    if classes > 2 and high < FAR_BELOW / classes:
        return COMPLEMENTARY
    if wrong_classes or (1 - high > NOISY and share.all_right_p < SIGNIFICANCE):
        return NOISY_VERDICT
    return CLEAN_VERDICT if 1 - low < CLEAN else UNDECIDED


def part(labels: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Choose images at random, of each class in proportion: int array of at most `limit` indices, ascending."""
    if not limit or limit >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (rng.permutation(len(members)) + rng.random()) / len(members)
    return np.sort(np.argsort(place)[:limit])


def cleanlab_issues(probabilities: np.ndarray, folders: np.ndarray) -> tuple[np.ndarray, float]:
    """Ask cleanlab (confident learning, Northcutt et al. 2021) the same, of the same predictions.

    Returns:
        bool (n,), the labels it suspects, and the share of wrong labels it estimates.
    """
    from cleanlab.count import estimate_joint
    from cleanlab.filter import find_label_issues

    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    joint = estimate_joint(folders, exact)
    return find_label_issues(folders, exact, n_jobs=1), float(1 - np.trace(joint))


def compare_with_cleanlab(found: Audit, probabilities: np.ndarray, folders: np.ndarray) -> dict:
    """Count what cleanlab suspects, and what both do; and give the share of wrong labels that it estimates."""
    theirs, share_wrong = cleanlab_issues(probabilities, folders)
    both = theirs & (found.filed_right < SUSPECTED) & found.told
    return {"suspected": int(theirs.sum()), "both": int(both.sum()), "share_wrong": share_wrong}
