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
FIXED_VOCABULARY = "The number of embeddings must follow from levels: levels + 1."
FIXED_HIDDEN = "The number of parameters does not follow hidden, the size of the state: use the argument."
NO_START = "The start value, levels itself, has no embedding: they are levels + 1."
ALIKE = "Different input values give the same logits: each of 0..levels needs an embedding of its own."
START_PREDICTED = "The start value is read, but never predicted: the outputs are levels, one for each gray level."
FIXED_OUTPUTS = "The number of outputs does not follow levels: use the argument."
PROBABILITIES = "forward returns probabilities, which cross_entropy normalizes again: return logits, without softmax."
LOGITS_SHAPE = "forward returns logits of the shape (B, T, levels), one row for each position of the input."
ONE_ROW = "The zero state is made for one sequence. It has the shape (1, B, hidden): one row for each sequence."
ROWS = "The zero state must have one row for each sequence, (1, B, hidden), whatever B is."
MIXED = "The sequences of a batch influence each other: without batch_first=True a GRU takes the first axis for time."
RANDOM = "forward is random: two calls with equal inputs give different logits. None is the zero state, torch.zeros."
NOT_ZERO = "None is the zero state: without a state the logits must be those that follow from torch.zeros."
STATE_UNREAD = "forward returns a new state, but does not begin from the one it is given: hand it to the GRU."
STATE_DROPPED = "forward drops some of the states that it is given: begin from zeros only where state is None."
STATE_MISFIT = "The state that forward returns does not fit back into it: return the second result of the GRU."
SHIFTS_ITSELF = "forward shifts its input itself. Leave that to nll: sample hands over one value at a time."
FUTURE = "forward looks ahead: its logits change when an input after them changes."
STEPS = "Step by step the logits are others than at once: the state that comes back must hold all that was read."
LEFT = "The input is shifted to the left, so the model is shown the future: position t must hold the value at t - 1."
ROLLED = "The input is rolled, so the last pixel stands at position 0: the start value, levels, belongs there."
CHANGED = "nll overwrites x, which is the target as well: build the shifted inputs in a new tensor."
REPEATED = "The first pixel is its own input: the start value, levels, belongs at position 0."
ONE_ON = "Inputs x, targets one step on: nothing predicts the first pixel. Shift the inputs right, levels in front."
START_OUTSIDE = "nll feeds a value outside 0..levels, which has no embedding: the start value is levels itself."
TWO = "The input is shifted by two: position t must hold the value at t - 1."
BATCH_SHIFT = "The batch is shifted: each image becomes the input of the next one. Shift along time, dim 1."
NO_FIRST = "The first pixel is not counted: T inputs, the start value and all pixels but the last, predict T pixels."
INPUT_TARGET = "The target is shifted as well: inputs are shifted, targets are the pixels x themselves."
NEXT_TARGET = "The target is shifted to the left: inputs are shifted, targets are the pixels x themselves."
LABEL_USED = "nll changes with the labels y. The model is one of the pixels alone: leave the labels aside."
TIME_NLL = "In nll the softmax runs over time. The levels are the last axis of the logits: transpose(1, 2)."
NO_LOG = "nll_loss wants log-probabilities and got probabilities: log_softmax, or cross_entropy of the logits."
NO_SOFTMAX = "nll_loss wants log-probabilities and got logits: log_softmax first, or cross_entropy."
CLAMPED = "A small number under the logarithm of nll changes the likelihood of rare values. log_softmax needs none."
OVERFLOW = "For extreme logits nll is NaN: inf / inf, or 0 times log(0). log_softmax subtracts the maximum first."
SIGN = "nll is negative: the negative log-likelihood has a minus sign in front of the logarithm."
MEAN = "nll is the mean over time. It is the sum, in nats per image; bits_per_dim alone divides by T."
TOTAL = "nll adds up or averages the images. It returns one number for each image, summed over time."
POSITIONS = "nll returns one number for each position. Sum them over time: one for each image."
NLL_BITS = "nll is in bits. It returns nats; bits_per_dim alone divides by ln 2."
ONE = "nll of a single image, or of images of a single pixel, is not (B,): squeeze() without an axis removes too much."
NATS = "These are nats per dimension: divide by ln 2."
TIMES_LN = "Nats are multiplied by ln 2. A bit is ln 2 nats, so divide."
BASE = "Divided by ln(levels). A bit is ln 2 nats, whatever the number of levels."
TEN = "A logarithm to base 10. A bit is ln 2 nats, and math.log(2) is the natural logarithm."
PIXELS = "Divided by the size of an MNIST image. The number of dimensions is T, the length of x."
IMAGES = "Divided by len(x), the number of images, or by a fixed 64. The number of dimensions is T, x.shape[1]."
TWICE = "Divided by the number of images twice: .mean() has done it already."
NO_MEAN = "The images are added up: take their mean."
EACH_IMAGE = "bits_per_dim returns one number for each image: take their mean."
FIRST = "These are the probabilities at the first position. The next value follows from the last one, [:, -1]."
OVER_BATCH = "Softmax runs over the batch. Levels are the last axis."
IS_LOGITS = "next_probabilities returns logits: take their softmax over the last axis."
IS_LOG = "next_probabilities returns log-probabilities, which are negative: take softmax, not log_softmax."
ONE_NEXT = "Of a single sequence or position there is an axis too few: squeeze() without an axis removes too much."
EVERY = "next_probabilities returns all positions. Only the last one, [:, -1], predicts the next value."
KEPT = "next_probabilities keeps the axis of time: [:, -1], not [:, -1:]."
SIGMOID = "Sigmoid answers one yes-no question for each level, so they do not sum to 1. Exactly one occurs: softmax."
INDEX = "The most probable level is returned. Return the probabilities of all levels, (B, levels)."
NEXT_NAN = "For large logits exp overflows, and inf / inf is NaN. softmax subtracts the maximum first."
TWO_STARTS = "nll begins with the value 0, an empty pixel, but sample with the start value: these are two models."
WHITE_START = "nll begins with levels - 1, a white pixel, but sample with the start value: these are two models."
LEVEL_START = "nll begins with a gray level, but sample with the start value, levels: these are two models."
SAMPLE_START = "sample begins with a gray level, but nll with the start value, levels: these are two models."
SAMPLE_STATE = "sample does not hand the state on: each value is drawn as if only the one before it were known."
SAMPLE_INPUT = "sample feeds the start value at every step: feed the value that was drawn."
GREEDY = "sample always takes the same values: draw them by their probabilities, with multinomial, and not by argmax."
OTHER_LAW = "sample does not draw what nll describes: its frequencies are not exp(-nll)."
NO_RNG = "sample does not draw from the generator rng alone: hand it to multinomial."
DETACHED = "No gradient of nll reaches a parameter that it depends on: leave out .detach(), .data and no_grad."
NO_GRADIENT = "No gradient reaches the parameters from nll: leave out no_grad, .detach() and .item()."

# Shared with the exercise `sequence_nll`.
CLASSES = "cross_entropy and nll_loss want the classes on axis 1, and got time there: transpose(1, 2) comes first."
TIME_FIRST = "transpose(0, 1) exchanges batch and time. The classes come to axis 1 with logits.transpose(1, 2)."
RESHAPED = "view or reshape to (B, V, T) mixes the numbers up. transpose(1, 2) exchanges the two axes."
INDEX_AXES = "gather wants an index with as many axes as the logits: x.unsqueeze(-1) has the shape (B, T, 1)."
UNDERFLOW = "softmax underflows to 0 for extreme logits, and log(0) is -inf: log_softmax does both at once."
FIRST_LEFT_OUT = "The first position is left out. It counts: its input is the start value, its target x[:, 0]."
LAST_LEFT_OUT = "The last position is left out: all T positions count."
ONLY_LAST = "Only the last position counts. Sum over all T positions."

# How nll adds up its terms. The article's program does that as it should.
SUMS = (SIGN, MEAN, TOTAL, POSITIONS, NLL_BITS, ONE, FIRST_LEFT_OUT, LAST_LEFT_OUT, ONLY_LAST)

# None of the nine, nor a wrong repair of one: the article's line is right in this.
NEW = (
    *SUMS,
    *(FIXED_HIDDEN, PROBABILITIES, LOGITS_SHAPE, MIXED, RANDOM, NOT_ZERO, SHIFTS_ITSELF, FUTURE, STEPS, STATE_DROPPED),
    *(CLASSES, TIME_FIRST, RESHAPED, INDEX_AXES),
    *(NATS, TIMES_LN, BASE, TEN, NO_MEAN, EACH_IMAGE),
    *(FIRST, EVERY, KEPT, ONE_NEXT),
)

# After these nothing else can be judged.
FATAL = (LOGITS_SHAPE, ROWS, MIXED, RANDOM, SHIFTS_ITSELF)

# What each part has to do; shown with what has no hint of its own.
RULES = {
    "build": "repair_article returns a module: PixelRNN() with forward, nll, bits_per_dim, next_probabilities, sample.",
    "forward": "forward(inputs, state=None) returns logits (B, T, levels) and the state after the last input.",
    "nll": "nll sums the cross-entropy of the logits for shift_right(x, levels) with x over time: (B,) nats.",
    "next_probabilities": "next_probabilities is the softmax over the levels at the last position: (B, levels).",
    "bits_per_dim": "bits_per_dim is the mean of nll over the images, divided by T and by ln 2: one number.",
    "sample": "sample draws what nll describes.",
}


def left(hint: str, faults: int, more: bool = False) -> str:
    """The hint, and how many of the nine faults were seen: "... Three of nine faults are left." """
    if hint in NEW and not faults:
        last = "One fault is left, which the article did not have."
        return f"{hint} {'The article did not have this fault.' if more else last}"
    if hint in NEW:
        count = f"at least {NUMBERS[faults].lower()}" if more else NUMBERS[faults].lower()
        return f"{hint} The article did not have this fault; {count} of its nine {'is' if faults == 1 else 'are'} left."
    if faults == 1 and not more:
        return f"{hint} It is the last of nine faults."
    count = f"At least {NUMBERS[faults].lower()}" if more else NUMBERS[faults]
    return f"{hint} {count} of nine faults {'is' if faults == 1 else 'are'} left."
