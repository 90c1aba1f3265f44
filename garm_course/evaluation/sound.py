"""What can be heard in numbers: pitch, decay of the harmonics, how harmonic a sound is, distance of two spectra.

Sounds are float tensors (B, T) in [-1, 1], all of one rate in samples per second; mu-law levels are decoded first.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from garm_course.autoregressive.ngram import NGram
from garm_course.datasets.plucked import OnePeriod, Plucked
from garm_course.evaluation.likelihood import Likelihood, evaluate
from garm_course.evaluation.marginals import Uniform
from garm_course.inputs import check_settings, check_sounds


def autocorrelation(x: Tensor, lags: int) -> Tensor:
    """How alike a sound and its own past are, at each distance in time.

    r_l = sum_t x_t x_{t+l} / sqrt(sum_t x_t² sum_t x_{t+l}²), over the pairs that lie in the sound, its mean taken out.
    Both sums are over as many samples as the product, so that a sound that fades is compared like one that does not.

    Args:
        x: float tensor (B, T).
        lags: the largest distance l in samples, at most T - 1.

    Returns:
        float64 tensor (B, lags + 1) in [-1, 1], 1 at distance 0; zeros for silence.

    Raises:
        TypeError, ValueError: for what are no sounds, or lags outside of 1..T - 1.

    Example:
        >>> wave = torch.tensor([[1.0, 0.0, -1.0, 0.0] * 4])
        >>> autocorrelation(wave, 4).round(decimals=3) + 0.0
        tensor([[ 1.,  0., -1.,  0.,  1.]], dtype=torch.float64)
    """
    check_sounds(x, 1)
    check_settings(1, whole=True, lags=lags)
    length = x.shape[1]
    if lags >= length:
        raise ValueError(f"expected at most {length - 1} lags of a sound of {length} samples, got {lags}")
    x = x.double() - x.double().mean(1, keepdim=True)
    spectrum = torch.fft.rfft(x, 2 * length)
    product = torch.fft.irfft(spectrum.abs().square(), 2 * length)[:, : lags + 1]
    energy = F.pad(x.square().cumsum(1), (1, 0))  # (B, T + 1): of the first samples
    ends = length - torch.arange(lags + 1, device=x.device)
    early, late = energy[:, ends], energy[:, -1:] - energy[:, : lags + 1]
    scale = (early * late).sqrt()
    quiet = scale <= 1e-12 * energy[:, -1:].clamp(min=1e-12)
    return torch.where(quiet, 0.0, product / scale.clamp(min=1e-30)).clamp(-1, 1)


def pitch(x: Tensor, *, rate: float, lowest: float = 80.0, threshold: float = 0.8) -> Tensor:
    """The frequency at which a sound repeats: the first high peak of its autocorrelation.

    A sound of period P is as alike after 2 P as after P, and where P is no whole number of samples, 2 P may even fit
    better: the highest peak is often an octave too low. So the first local maximum above a share of the highest is
    taken; a parabola through it and its neighbors places it between samples.

    Args:
        x: float tensor (B, T), T more than rate / lowest.
        rate: samples per second.
        lowest: the lowest pitch that is looked for, in Hz.
        threshold: share of the highest peak that is high enough, in (0, 1].

    Returns:
        float64 tensor (B,) in Hz; NaN where there is no peak, as in silence.

    Raises:
        TypeError, ValueError: for what are no sounds, no rate above 0, or sounds too short for the lowest pitch.

    Example:
        >>> t = torch.arange(2000) / 8000
        >>> pitch(0.5 * torch.sin(2 * torch.pi * 220 * t)[None], rate=8000).round()
        tensor([220.], dtype=torch.float64)
    """
    check_sounds(x, rate)
    check_settings(0, above=True, lowest=lowest, threshold=threshold)
    lags = math.ceil(rate / lowest)
    if lags + 1 >= x.shape[1]:
        raise ValueError(
            f"expected more than {lags + 1} samples, a period of {lowest:g} Hz at {rate:g} samples a second, "
            f"got {x.shape[1]}; take a longer sound or a higher lowest pitch"
        )
    r = autocorrelation(x, lags + 1)
    left, middle, right = r[:, :-2], r[:, 1:-1], r[:, 2:]  # at distances 1 .. lags
    peak = (middle > left) & (middle >= right) & (middle > 0)
    highest = torch.where(peak, middle, 0.0).amax(1, keepdim=True)
    high = peak & (middle >= threshold * highest)
    first = high.long().argmax(1, keepdim=True)  # of the first that is high
    a, b, c = (part.gather(1, first)[:, 0] for part in (left, middle, right))
    offset = 0.5 * (a - c) / (a - 2 * b + c)
    found = rate / (1 + first[:, 0] + offset)
    return torch.where(high.any(1), found, math.nan)


def semitones(frequency: Tensor, reference: Tensor | float) -> Tensor:
    """How far a pitch lies above another one: 12 log2(frequency / reference), of any shapes that fit each other.

    Example:
        >>> semitones(torch.tensor([440.0, 220.0]), 440.0)
        tensor([  0., -12.])
    """
    return 12 * torch.log2(frequency / reference)


def harmonic_decay(x: Tensor, *, period: float, harmonics: int, start: int = 0) -> Tensor:
    """By what factor each harmonic of a tone becomes weaker from one period to the next.

    In stretches of four periods, two periods apart, the amplitude of each harmonic is read off (Hann window: the strong
    ones must not leak into the weak), and a straight line is fitted to the logarithms. A stretch counts by the square
    of the amplitude: where a harmonic has sunk into what 8 bits throw away, it says nothing more. The string of
    `Plucked` has g cos(πm / (p + ½)), equation (8.8).

    Args:
        x: float tensor (B, T), at least 6 periods after `start`.
        period: in samples; twice it must be a whole number (p + ½ for a string with a delay line of p samples).
        harmonics: how many, from the fundamental on: m = 1 .. harmonics, below half of the period.
        start: the first sample that counts.

    Returns:
        float64 tensor (B, harmonics).

    Raises:
        TypeError, ValueError: for what are no sounds, a period that is no multiple of ½, too many harmonics, or sounds
            that are too short.

    Example:
        >>> wave = torch.cos(2 * torch.pi * torch.arange(80) / 10) * 0.9 ** (torch.arange(80) / 10)
        >>> harmonic_decay(wave[None], period=10.0, harmonics=1).round(decimals=2)
        tensor([[0.9000]], dtype=torch.float64)
    """
    check_sounds(x, 1)
    check_settings(1, whole=True, harmonics=harmonics)
    check_settings(0, whole=True, start=start)
    width = round(2 * period)
    if width != 2 * period or harmonics >= period / 2:
        raise ValueError(
            f"expected a period that is a multiple of 1/2 and fewer harmonics than half of it, got period={period} and "
            f"harmonics={harmonics}"
        )
    if x.shape[1] - start < 3 * width:
        raise ValueError(f"expected at least {3 * width} samples from start on, got {x.shape[1] - start}")
    hann = torch.hann_window(2 * width, dtype=torch.float64, device=x.device)
    stretches = x.double()[:, start:].unfold(1, 2 * width, width) * hann  # (B, stretches, 4 periods)
    amplitude = torch.fft.rfft(stretches).abs()[..., 4 : 4 * harmonics + 1 : 4].clamp(min=1e-12)
    weight = amplitude.square() / amplitude.square().sum(1, keepdim=True)
    time = 2.0 * torch.arange(stretches.shape[1], dtype=torch.float64, device=x.device).unsqueeze(-1)  # in periods
    time = time - (weight * time).sum(1, keepdim=True)
    slope = (weight * time * amplitude.log()).sum(1) / (weight * time.square()).sum(1)
    return slope.exp()


def harmonic_share(x: Tensor, *, period: float, start: int = 0) -> Tensor:
    """The share of a sound's energy at the multiples of its pitch: near 1 for a tone, near ½ for noise.

    Two periods are one stretch of the Fourier transform: every second of its frequencies is a harmonic.

    Args:
        x: float tensor (B, T), at least 2 periods after `start`.
        period: in samples; twice it must be a whole number.
        start: the first sample that counts.

    Returns:
        float64 tensor (B,) in [0, 1]; the constant part of a stretch counts for neither. NaN for silence.

    Raises:
        TypeError, ValueError: for what are no sounds, a period that is no multiple of ½, or sounds that are too short.
    """
    check_sounds(x, 1)
    check_settings(0, whole=True, start=start)
    width = round(2 * period)
    frames = (x.shape[1] - start) // max(width, 1)
    if width != 2 * period or width < 4 or frames < 1:
        raise ValueError(
            f"expected a period of 2 samples or more, a multiple of 1/2 that fits twice into the sound, got {period}"
        )
    stretches = x.double()[:, start : start + frames * width].unflatten(1, (frames, width))
    power = torch.fft.rfft(stretches).abs().square().sum(1)[:, 1:]  # (B, width // 2), from frequency 1 on
    return power[:, 1::2].sum(1) / power.sum(1)


def log_spectral_distance(a: Tensor, b: Tensor, *, window: int = 128, floor: float = -80.0) -> float:
    """How far two sets of sounds are apart in their spectra, moment by moment, in decibels.

    The power spectra of stretches (Hann window, half overlapping) are averaged over each set; of both, 10 log10 is
    taken, and the root of the mean square difference over frequencies is averaged over the stretches. Two sets of real
    notes are not 0 apart: compare at the same number of sounds.

    Args:
        a: float tensor (N, T).
        b: float tensor (N, T): as many sounds of the same length and rate.
        window: samples of a stretch, 2..T.
        floor: what lies further below the loudest of both sets counts as this, in decibels.

    Returns:
        At least 0, in decibels; 0 for equal sets.

    Raises:
        TypeError, ValueError: for what are no sounds, sets of another shape, or a window that does not fit.

    Source:
        A. Gray, J. Markel (1976), "Distance measures for speech processing", IEEE Transactions on Acoustics, Speech,
        and Signal Processing 24(5), for single sounds.
    """
    for x in (a, b):
        check_sounds(x, 1)
    check_settings(2, whole=True, window=window)
    if a.shape != b.shape or window > a.shape[1]:
        raise ValueError(
            f"expected two sets of equally many sounds of one length and rate, at least {window} samples, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}; cut both to the smaller"
        )
    hann = torch.hann_window(window, dtype=torch.float64, device=a.device)
    powers = [
        torch.fft.rfft(x.double().unfold(1, window, max(window // 2, 1)) * hann).abs().square().mean(0) for x in (a, b)
    ]  # (stretches, frequencies) each
    quiet = max(power.max().item() for power in powers) * 10 ** (floor / 10)
    first, second = (10 * power.clamp(min=max(quiet, 1e-30)).log10() for power in powers)
    return (first - second).square().mean(1).sqrt().mean().item()


def real_time_factor(seconds: float, samples: int, *, rate: float) -> float:
    """Seconds that it takes to make a sound, for each second of it: below 1 it is made while it plays; equation (8.5).

    Args:
        seconds: that making it took, above 0.
        samples: of the sound, at least 1.
        rate: samples per second.

    Raises:
        ValueError: for numbers outside of these ranges.

    Example:
        >>> real_time_factor(0.5, 8000, rate=8000)
        0.5
    """
    check_settings(0, above=True, seconds=seconds, rate=rate)
    check_settings(1, whole=True, samples=samples)
    return seconds * rate / samples


def sound_baselines(train: Plucked, data: Plucked) -> dict[str, Likelihood]:
    """What a model of plucked strings that is told the note should beat, and whoever knows the string.

    Args:
        train: the notes that are counted.
        data: the notes that are scored.

    Returns:
        In nats per note: "uniform"; "histogram" and "bigram", Witten-Bell tables of each note; and "one period of
        memory", see `OnePeriod`.
    """
    tables = {
        name: NGram(data.shape, train.levels, train.n_classes, order=order).fit_counts(train.x, train.y)
        for name, order in (("histogram", 0), ("bigram", 1))
    }
    models = {"uniform": Uniform(train.levels), **tables, "one period of memory": OnePeriod(train)}
    return {name: evaluate(model, data) for name, model in models.items()}
