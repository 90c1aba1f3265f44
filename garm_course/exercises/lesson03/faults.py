"""The hints on the article's PixelRNN: its nine faults, and what else comes out when they are repaired."""

NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

# The nine faults, in the order in which they are named.
VOCABULARY = (
    "An input value has no embedding: 28 is the width of an image. There is one for each gray level and for the start."
)
OUTPUTS = "Ten outputs are the ten classes of digits. The next pixel is predicted: one logit for each gray level."
BATCH = "The zero state is made for 64 sequences. The last batch of an epoch has fewer, sample draws any number."
STATE = "The state is lost between calls: forward returns the one that came in. Return the one that the GRU returns."
SHIFT = "The model reads the pixel that it predicts: nll must feed the values shifted right, levels in front."
LABEL = "The target is the label of the image: that trains a classifier. The target at position t is the pixel x[:, t]."
SOFTMAX = "Softmax twice: cross_entropy takes logits and normalizes them itself, so give it no probabilities."
TIME = "Softmax runs over time: with one position, as in sample, each level gets probability 1. Levels are last."
UNITS = "The bits are those of a whole image: per dimension means divided by the number T of pixels as well."

# What else comes out when they are repaired.
NO_START = "The start value, levels itself, has no embedding: they are levels + 1."
ALIKE = "Different input values give the same logits: each of 0..levels needs an embedding of its own."
START_PREDICTED = "The start value is read, but never predicted: the outputs are levels, one for each gray level."
FIXED_OUTPUTS = "The number of outputs does not follow levels: use the argument."
PROBABILITIES = "forward returns probabilities, which cross_entropy normalizes again: return logits, without softmax."
LOGITS_SHAPE = "forward returns logits of the shape (B, T, levels), one row for each position of the input."
ONE_ROW = "The zero state is made for one sequence. It has the shape (1, B, hidden): one row for each sequence."
ROWS = "The zero state must have one row for each sequence, (1, B, hidden), whatever B is."
MIXED = "The sequences of a batch influence each other: without batch_first=True a GRU takes the first axis for time."
STATE_UNREAD = "forward returns a new state, but does not begin from the one it is given: hand it to the GRU."
STATE_MISFIT = "The state that forward returns does not fit back into it: return the second result of the GRU."
SHIFTS_ITSELF = "forward shifts its input itself. Leave that to nll: sample hands over one value at a time."
FUTURE = "forward looks ahead: its logits change when an input after them changes."
STEPS = "Step by step the logits are others than at once: the state that comes back must hold all that was read."
LEFT = "The input is shifted to the left, so the model is shown the future: position t must hold the value at t - 1."
ROLLED = "The input is rolled, so the last pixel stands at position 0: the start value, levels, belongs there."
REPEATED = "The first pixel is its own input: the start value, levels, belongs at position 0."
TWO = "The input is shifted by two: position t must hold the value at t - 1."
BATCH_SHIFT = "The batch is shifted: each image becomes the input of the next one. Shift along time, dim 1."
NO_FIRST = "The first pixel is not counted: T inputs, the start value and all pixels but the last, predict T pixels."
INPUT_TARGET = "The target is shifted as well: inputs are shifted, targets are the pixels x themselves."
NEXT_TARGET = "The target is shifted to the left: inputs are shifted, targets are the pixels x themselves."
LABEL_USED = "nll changes with the labels y. The model is one of the pixels alone: leave the labels aside."
REVERSED = "The target is reversed: logits[:, t] predict x[:, t]."
TIME_NLL = "In nll the softmax runs over time. The levels are the last axis of the logits: transpose(1, 2)."
NO_LOG = "nll_loss wants log-probabilities and got probabilities: log_softmax, or cross_entropy of the logits."
NO_SOFTMAX = "nll_loss wants log-probabilities and got logits: log_softmax first, or cross_entropy."
SIGN = "nll is negative: the negative log-likelihood has a minus sign in front of the logarithm."
MEAN = "nll is the mean over time. It is the sum, in nats per image; bits_per_dim alone divides by T."
TOTAL = "nll adds up or averages the images. It returns one number for each image, summed over time."
POSITIONS = "nll returns one number for each position. Sum them over time: one for each image."
NLL_BITS = "nll is in bits. It returns nats; bits_per_dim alone divides by ln 2."
NATS = "These are nats per dimension: divide by ln 2."
TIMES_LN = "Nats are multiplied by ln 2. A bit is ln 2 nats, so divide."
BASE = "Divided by ln(levels). A bit is ln 2 nats, whatever the number of levels."
PIXELS = "Divided by the size of an MNIST image. The number of dimensions is T, the length of x."
IMAGES = "Divided by len(x), the number of images, or by a fixed 64. The number of dimensions is T, x.shape[1]."
TWICE = "Divided by the number of images twice: .mean() has done it already."
NO_MEAN = "The images are added up: take their mean."
EACH_IMAGE = "bits_per_dim returns one number for each image: take their mean."
FIRST = "These are the probabilities at the first position. The next value follows from the last one, [:, -1]."
OVER_BATCH = "Softmax runs over the batch. Levels are the last axis."
IS_LOGITS = "next_probabilities returns logits: take their softmax over the last axis."
IS_LOG = "next_probabilities returns log-probabilities, which are negative: take softmax, not log_softmax."
IS_EXP = "The exponentials are not normalized: softmax divides by their sum."
EVERY = "next_probabilities returns all positions. Only the last one, [:, -1], predicts the next value."
KEPT = "next_probabilities keeps the axis of time: [:, -1], not [:, -1:]."
AVERAGED = "The probabilities are averaged over time. Only the last position predicts the next value."
ONE_IMAGE = "[-1] takes the last image of the batch. The last position is [:, -1]."
TWICE_SOFTMAX = "Softmax twice in next_probabilities: the levels become almost equally probable."
TWO_STARTS = "nll begins with the value 0, a black pixel, but sample with the start value: these are two models."
OTHER_LAW = "sample does not draw what nll describes: its frequencies are not exp(-nll)."
NO_RNG = "sample does not draw from the generator rng alone: hand it to multinomial."
NO_GRADIENT = "No gradient reaches the parameters from nll: leave out no_grad, .detach() and .item()."

# After these nothing else can be judged.
FATAL = (LOGITS_SHAPE, ROWS, MIXED, SHIFTS_ITSELF)


def left(hint: str, faults: int, more: bool = False) -> str:
    """The hint, and how many faults there are: "... Three of nine faults are left." """
    if faults == 1 and not more:
        return f"{hint} It is the last of nine faults."
    count = f"At least {NUMBERS[faults].lower()}" if more else NUMBERS[faults]
    return f"{hint} {count} of nine faults {'is' if faults == 1 else 'are'} left."
