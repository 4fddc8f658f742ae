"""Transitions: whether, and how soon, an event of one camera is followed by one of another.

Somebody who walks past a home is seen by one camera after another. `transition_lags` learns
from a home's own events how often each camera is followed by each other one, and how soon;
`links` says which events of a home continue an event of another camera.

**Method.** The events are a mutually exciting point process (Hawkes 1971): events of a camera
occur at a background rate, and each may bring about events of other cameras. Which event
brought about which is not known, so each event is given a probability for every earlier event
that it may continue, and one for none: stochastic declustering (Zhuang, Ogata and Vere-Jones
2002), fitted by expectation and maximisation (Veen and Schoenberg 2008). Three things are
particular here.

- *Chance.* The background rate of a camera at an event is estimated from the other events of
  the half hours before and after it, with the rate of the hour of the day as the prior mean.
  So wind, rain and other causes that make several cameras busy at the same time do not count
  as transitions. The jitter method for neurons (Amarasingham et al. 2012) has the same purpose.
- *Moved.* An event that itself continues one of another camera is of something that moves, and
  is followed by a third camera much more often than any event of its camera, most of which may
  be wind. So each ordered pair has two shares: after an event that has moved, and after others.
- *Missed.* A camera on the way may be dead or may miss a visit. So an event may also continue
  one that is usually followed indirectly, through a third camera, in `_MISSED` of all cases.
- *Few events.* The numbers of each pair are drawn towards those of all pairs of the home, as if
  `_PRIOR_EVENTS` more had been seen, after two standard deviations of the number that follows
  by chance have been subtracted. A pair that was never seen can therefore still be linked,
  if the next camera is quiet enough.

**What makes it wrong.** Two people at the same time are one visit if the cameras fit. Two
cameras that always react to the same cause (one lamp, one gust) are linked although nothing
moves. Something that stays unseen for more than five minutes begins a new visit. Habits that
changed within the window are averaged. A clock that is wrong by a constant amount is corrected
only if it is wrong by more than a minute, and if the delays of arrivals vary little.

**Sources.** Hawkes, Biometrika 58 (1971) 83. Zhuang, Ogata and Vere-Jones, J. Am. Stat. Assoc.
97 (2002) 369. Veen and Schoenberg, J. Am. Stat. Assoc. 103 (2008) 614. Amarasingham, Harrison,
Hatsopoulos and Geman, J. Neurophysiol. 107 (2012) 517.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pano_analytics.model import arguments

# The longest time between the end of one event and the start of the next, in seconds.
HORIZON_S = 300.0
# How many times the probabilities are computed anew. An event therefore depends on others
# that are at most `_ROUNDS` transitions away.
_ROUNDS = 6
_FIT_ROUNDS = 25
# Local rates: from this long before to this long after an event, in seconds.
LOCAL_S = 1800.0
# How much rates differ from day to day: they have a gamma distribution with this shape, the
# mean of which is the rate of the hour of the day.
_RATE_SHAPE = 2.0
_PRIOR_EVENTS = 4.0
# The share of visits that a camera on their way misses, and how often a visit must have taken
# a way through a third camera.
_MISSED = 0.1
_FEWEST_INDIRECT = 3.0
# So many standard deviations of the followers by chance are not counted as transitions.
_DOUBT = 2.0
# A lag varies by at least this factor (as the logarithm): people walk at different speeds.
_LEAST_SPREAD = 0.4
_PRIOR_SPREAD = 0.8
_PRIOR_LAG_S = 20.0
# The share of events that are followed by any one camera, before anything is known.
_PRIOR_SHARE = 0.02
# Added to lags: times have a resolution of a second, and cameras start a few seconds late.
_OFFSET_S = 5.0
# A continuation is more probable than chance from here on.
_LEAST_PROBABILITY = 0.5
# A clock is corrected if it is wrong by more than the first, and the delays of arrivals
# differ from their median by less than the second in more than half of all events.
_LEAST_SHIFT_S = 60.0
_MOST_DEVIATION_S = 30.0
_FEWEST_DELAYS = 5

NEEDED = ("event_id", "camera", "start", "end", "arrived")
_SOURCE = "library.events()"
PAIRS = (
    *("camera", "next_camera", "has_moved", "events", "followed", "by_chance", "share"),
    *("overlapping", "lag_s", "spread", "limit_s", "indirect", "indirect_lag_s", "indirect_spread"),
)

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TransitionLags:
    """What was learned from a home's events.

    `pairs` has two rows per ordered pair of cameras, with the columns `PAIRS`: `has_moved` is
    whether the row is about events that continue one of another camera. `events` is the
    expected number of such events of `camera`, `followed` how many of them are continued by
    an event of `next_camera`, `by_chance` how many would be followed within `limit_s` by
    chance, and `share` the share that is used, drawn towards that of the home. Of those that
    are followed, the share `overlapping` is followed before the event has ended; otherwise
    the time from its end has the median `lag_s` and varies by the factor exp(`spread`).
    `limit_s` is the longest lag (seconds) that counts as a transition at the mean rate of
    `next_camera`; null if none does. `indirect` is the share that `next_camera` sees after
    a third camera, `indirect_lag_s` and `indirect_spread` the lag without that camera's help.

    `rates` has one row per camera and hour of the day (0 to 23, in the zone of the events):
    events per second. `clocks` has one row per camera: `shift_s`, what must be added to its
    times (seconds; 0 for most), and `delay_s`, the usual time from start to arrival.
    """

    pairs: pd.DataFrame
    rates: pd.DataFrame
    clocks: pd.DataFrame

    @property
    def cameras(self) -> list[str]:
        """The cameras that had events, in order of name."""
        return [str(name) for name in self.clocks["camera"]]

    @property
    def longest_shift_s(self) -> float:
        """The most that a clock is corrected by, in seconds."""
        return float(self.clocks["shift_s"].abs().max()) if len(self.clocks) else 0.0


class _Model(NamedTuple):
    """The learned numbers as arrays: [moved, camera, next camera], and [camera, hour]."""

    share: Floats
    overlapping: Floats
    log_lag: Floats
    spread: Floats
    rates: Floats
    indirect: Floats
    indirect_log_lag: Floats
    indirect_spread: Floats


class _Moments(NamedTuple):
    """Events as arrays, sorted by start: camera (-1 if unknown), seconds since 1970, hour."""

    camera: Places
    start: Floats
    end: Floats
    hour: Places

    @property
    def length(self) -> Floats:
        return np.asarray(self.end - self.start, np.float64)


class _Candidates(NamedTuple):
    """Pairs of places of events that may be a transition, and the lag from the end, >= 0."""

    before: Places
    after: Places
    lag_s: Floats
    is_overlapping: npt.NDArray[np.bool_]


class _Weighed(NamedTuple):
    """Per candidate the probability that `after` continues `before`; per event, any."""

    each: Floats
    moved: Floats


def transition_lags(events: pd.DataFrame) -> TransitionLags:
    """Learn from `events` how often and how soon each camera is followed by each other one.

    `events` has `event_id`, `camera`, `start`, `end` and `arrived` (aware, in one zone), as
    `library.events()` returns them, in any order; a week of a home is enough. The method is
    described at the top of this module. An empty frame gives frames without rows. Raises
    QueryError for a frame without these columns.
    """
    _check(events)
    names = sorted({str(name) for name in events["camera"]})
    clocks = _clocks(events, names)
    moments = _moments(events, names, clocks)
    days = _days(moments)
    found = _candidates(moments)
    local = _local_counts(moments)
    model = _prior(len(names), moments, days)
    weighed = _weigh(moments, found, local, model)
    for _ in range(_FIT_ROUNDS):
        model = _fitted(moments, found, weighed, model)
        weighed = _weighed_once(moments, found, local, model, weighed.moved)
    model = _with_indirect(moments, found, weighed, model)
    return TransitionLags(
        _pairs(names, moments, found, weighed, model), _rates(names, model), clocks
    )


def links(events: pd.DataFrame, lags: TransitionLags) -> pd.Series[float]:
    """Return for each event the place (from 0) in `events` of the one that it continues.

    `events` is as `transition_lags` takes it, with the index of the result; null for an event
    that continues none. An event of a camera without events in `lags` continues none. What an
    event continues depends on events of the hour around it, and of the few minutes around
    those that it may continue. Raises QueryError as `transition_lags` does.
    """
    _check(events)
    moments = _moments(events, lags.cameras, lags.clocks)
    order = _order(events, lags)
    found = _candidates(moments)
    weighed = _weigh(moments, found, _local_counts(moments), _model_of(lags))
    best = _best(found, weighed)
    result = np.full(len(events), np.nan)
    result[order[found.after[best]]] = order[found.before[best]]
    return pd.Series(result, events.index, name="continues")


def true_times(events: pd.DataFrame, lags: TransitionLags) -> pd.DataFrame:
    """Return `start` and `end` of events with wrong clocks corrected, aware as in `events`.

    A camera's shift is not added to an event that arrived too early for it: its clock was
    right by then.
    """
    shift = pd.to_timedelta(_shifts(events, lags.clocks), unit="s").as_unit("us")
    return pd.DataFrame({"start": events["start"] + shift, "end": events["end"] + shift})


def _check(events: pd.DataFrame) -> None:
    arguments.frame(events, NEEDED, _SOURCE)
    arguments.aware_times(events, ("start", "end", "arrived"), _SOURCE)


# --- clocks -------------------------------------------------------------------------------------


def _clocks(events: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return `camera, shift_s, delay_s`: by what each clock is wrong, from arrivals.

    An upload arrives when it is over, or soon after. If the uploads of a camera arrive
    minutes before or after that, always by the same amount, its clock is wrong: a slow
    network or a late import does not delay all uploads equally.
    """
    start, end, arrived = (_seconds(events[name]) for name in ("start", "end", "arrived"))
    cameras = events["camera"].astype(object).to_numpy()
    delay = arrived - start
    late = arrived - np.clip(arrived, start, np.maximum(start, end))
    rows = [_clock(delay[cameras == name], late[cameras == name]) for name in names]
    usual = [row[0] for row in rows if not row[1] and not np.isnan(row[0])]
    baseline = float(np.median(usual)) if usual else 0.0
    return pd.DataFrame(
        {
            "camera": pd.Series(names, dtype="str"),
            "shift_s": [float(round(delay - baseline)) if wrong else 0.0 for delay, wrong in rows],
            "delay_s": [float(delay) for delay, _ in rows],
        }
    ).astype({"shift_s": "float64", "delay_s": "float64"})


def _clock(delay: Floats, late: Floats) -> tuple[float, bool]:
    """Return the median delay of a camera, and whether its clock is wrong."""
    known = ~np.isnan(delay)
    if known.sum() < _FEWEST_DELAYS:
        return (float(np.median(delay[known])) if known.any() else np.nan), False
    middle = float(np.median(late[known]))
    deviation = float(np.median(np.abs(late[known] - middle)))
    is_wrong = abs(middle) > _LEAST_SHIFT_S and deviation < _MOST_DEVIATION_S
    return float(np.median(delay[known])), is_wrong


def _shifts(events: pd.DataFrame, clocks: pd.DataFrame) -> Floats:
    """Return the seconds to add to the times of each event."""
    cameras = pd.Index(clocks["camera"], dtype=object)
    place = cameras.get_indexer(pd.Index(events["camera"].astype(object), dtype=object))
    shift = np.append(clocks["shift_s"].to_numpy(np.float64), 0.0)[place]
    delay = _seconds(events["arrived"]) - _seconds(events["start"])
    # With the shift, the event would be later than its arrival; or, of a fast clock, the
    # event did not arrive before its own time.
    is_right = np.where(shift > 0, delay < shift - _LEAST_SHIFT_S, delay > shift / 2)
    return np.asarray(np.where((shift != 0) & is_right, 0.0, shift), np.float64)


# --- events as arrays ---------------------------------------------------------------------------


def _seconds(times: pd.Series) -> Floats:
    """Return seconds since 1970 UTC; NaN for null."""
    utc = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]")
    seconds = utc.astype(np.int64) / 1e6
    return np.where(np.isnat(utc), np.nan, seconds)


def _order(events: pd.DataFrame, lags: TransitionLags) -> Places:
    """Return the places of `events` in the order of their true start."""
    start = _seconds(events["start"]) + _shifts(events, lags.clocks)
    ids = events["event_id"].astype(object).to_numpy()
    return np.lexsort((pd.factorize(ids, sort=True)[0], start))


def _moments(events: pd.DataFrame, names: list[str], clocks: pd.DataFrame) -> _Moments:
    shift = _shifts(events, clocks)
    start, end = _seconds(events["start"]) + shift, _seconds(events["end"]) + shift
    ids = events["event_id"].astype(object).to_numpy()
    order = np.lexsort((pd.factorize(ids, sort=True)[0], start))
    camera = pd.Index(names, dtype=object).get_indexer(
        pd.Index(events["camera"].astype(object), dtype=object)
    )
    true = events["start"] + pd.to_timedelta(shift, unit="s").as_unit("us")
    hour = true.dt.hour.to_numpy(np.int64)
    ended = np.fmax(start, end)
    return _Moments(camera[order].astype(np.int64), start[order], ended[order], hour[order])


def _days(moments: _Moments) -> float:
    """Return the days that the events span, at least one."""
    if not len(moments.start):
        return 1.0
    return max(1.0, float(moments.start[-1] - moments.start[0]) / 86_400)


def _candidates(moments: _Moments) -> _Candidates:
    """Return all pairs of events of different cameras of which one may continue the other."""
    places = np.arange(len(moments.start))
    until = np.searchsorted(moments.start, moments.end + HORIZON_S, side="right")
    counts = np.maximum(until - places - 1, 0)
    before = np.repeat(places, counts)
    offsets = np.arange(len(before)) - np.repeat(np.cumsum(counts) - counts, counts)
    after = before + 1 + offsets
    known = (moments.camera[before] >= 0) & (moments.camera[after] >= 0)
    keep = known & (moments.camera[before] != moments.camera[after])
    before, after = before[keep], after[keep]
    lag = moments.start[after] - moments.end[before]
    return _Candidates(before, after, np.maximum(lag, 0.0), lag < 0)


def _local_counts(moments: _Moments) -> Places:
    """Return for each event how many others its camera had in the half hours around it."""
    counts = np.zeros(len(moments.start), np.int64)
    for camera in np.unique(moments.camera):
        own = np.flatnonzero(moments.camera == camera)
        start = moments.start[own]
        low = np.searchsorted(start, start - LOCAL_S, side="left")
        high = np.searchsorted(start, start + LOCAL_S, side="right")
        counts[own] = high - low - 1
    return counts


# --- the model ----------------------------------------------------------------------------------


def _prior(cameras: int, moments: _Moments, days: float) -> _Model:
    shape = (2, cameras, cameras)
    return _Model(
        np.full(shape, _PRIOR_SHARE),
        np.full(shape, 0.2),
        np.full(shape, np.log(_PRIOR_LAG_S + _OFFSET_S)),
        np.full(shape, _PRIOR_SPREAD),
        _hourly(cameras, moments, days),
        np.zeros(shape),
        np.full(shape, np.log(_PRIOR_LAG_S + _OFFSET_S)),
        np.full(shape, _PRIOR_SPREAD),
    )


def _hourly(cameras: int, moments: _Moments, days: float) -> Floats:
    """Return events per second by camera and hour of the day, over three hours each.

    One event in a week is added, spread like the events of all hours, so that no rate is 0.
    """
    counts = np.zeros((cameras, 24))
    np.add.at(counts, (moments.camera, moments.hour), 1.0)
    smooth = (counts + np.roll(counts, 1, axis=1) + np.roll(counts, -1, axis=1)) / 3
    mean = (counts.sum(axis=1, keepdims=True) / days + 1 / 7) / 24
    return np.asarray((smooth + mean) / (days + 1) / 3600)


def _background(moments: _Moments, local: Places, model: _Model) -> Floats:
    """Return the rate, per second, at which each event would occur by chance."""
    is_known = moments.camera >= 0
    hourly = np.ones(len(moments.start))
    hourly[is_known] = model.rates[moments.camera[is_known], moments.hour[is_known]]
    return np.asarray((local + _RATE_SHAPE) / (2 * LOCAL_S + _RATE_SHAPE / hourly))


def _density(moments: _Moments, found: _Candidates, model: _Model) -> Floats:
    """Return [moved, candidate]: the density, per second, of a transition at this lag."""
    pair = moments.camera[found.before], moments.camera[found.after]
    later = _lognormal(found.lag_s, model.log_lag[:, *pair], model.spread[:, *pair])
    indirectly = _lognormal(
        found.lag_s, model.indirect_log_lag[:, *pair], model.indirect_spread[:, *pair]
    )
    within = 1 / np.maximum(moments.length[found.before], _OFFSET_S)
    overlapping = model.overlapping[:, *pair]
    density = np.where(found.is_overlapping, overlapping * within, (1 - overlapping) * later)
    missed = _MISSED * model.indirect[:, *pair] * indirectly
    return np.asarray(model.share[:, *pair] * density + np.where(found.is_overlapping, 0, missed))


def _lognormal(lag_s: Floats | float, log_lag: Floats, spread: Floats) -> Floats:
    """Return the density, per second, of lags that are distributed lognormally."""
    x = lag_s + _OFFSET_S
    z = (np.log(x) - log_lag) / spread
    return np.asarray(np.exp(-0.5 * z * z) / (x * spread * np.sqrt(2 * np.pi)))


def _weighed_once(
    moments: _Moments, found: _Candidates, local: Places, model: _Model, moved: Floats
) -> _Weighed:
    """Return the probabilities, given those with which each event has moved."""
    density = _density(moments, found, model)
    had_moved = moved[found.before]
    rate = (1 - had_moved) * density[0] + had_moved * density[1]
    total = _background(moments, local, model)
    of_others = np.bincount(found.after, rate, len(total))
    each = rate / (total + of_others)[found.after]
    return _Weighed(each, of_others / (total + of_others))


def _weigh(moments: _Moments, found: _Candidates, local: Places, model: _Model) -> _Weighed:
    weighed = _Weighed(np.empty(0), np.zeros(len(moments.start)))
    for _ in range(_ROUNDS):
        weighed = _weighed_once(moments, found, local, model, weighed.moved)
    return weighed


def _of_each_kind(
    moments: _Moments, found: _Candidates, weighed: _Weighed, model: _Model
) -> Floats:
    """Return [moved, candidate]: the probability of the transition, and that `before` had moved."""
    density = _density(moments, found, model)
    moved = weighed.moved[found.before]
    parts = np.stack([(1 - moved) * density[0], moved * density[1]])
    return np.asarray(weighed.each * parts / np.maximum(parts.sum(axis=0), 1e-300))


def _events_of_each_kind(moments: _Moments, moved: Floats, cameras: int) -> Floats:
    """Return [moved, camera]: the expected number of events."""
    known = moments.camera >= 0
    camera, weight = moments.camera[known], moved[known]
    return np.stack(
        [np.bincount(camera, 1 - weight, cameras), np.bincount(camera, weight, cameras)]
    )


def _fitted(moments: _Moments, found: _Candidates, weighed: _Weighed, model: _Model) -> _Model:
    """Return the model that fits the probabilities best, drawn towards the home's means."""
    parts = _of_each_kind(moments, found, weighed, model)
    cameras = len(model.rates)
    counts = _sums(moments, found, parts, cameras)
    events = _events_of_each_kind(moments, weighed.moved, cameras)[:, :, None]
    others = max(cameras - 1, 1)
    usual = (counts.sum(axis=(1, 2)) + _PRIOR_SHARE) / (events.sum(axis=(1, 2)) * others + 1)
    certain = np.maximum(counts - _DOUBT * np.sqrt(_chance(moments, weighed, model)), 0.0)
    share = (certain + _PRIOR_EVENTS * usual[:, None, None]) / (events + _PRIOR_EVENTS)
    overlapping = _means(counts, _sums(moments, found, parts * found.is_overlapping, cameras), 0.2)
    log_lag, spread = _lag_and_spread(moments, found, parts * ~found.is_overlapping, cameras)
    return model._replace(share=share, overlapping=overlapping, log_lag=log_lag, spread=spread)


def _chance(moments: _Moments, weighed: _Weighed, model: _Model) -> Floats:
    """Return [moved, camera, next camera]: how many events are followed by chance.

    Counted are followers at lags that are as usual as those of the transition.
    """
    cameras = len(model.rates)
    events = _events_of_each_kind(moments, weighed.moved, cameras)
    counts = np.bincount(moments.camera, minlength=cameras)
    length = np.bincount(moments.camera, moments.length, cameras) / np.maximum(counts, 1)
    # The width of a uniform distribution whose density is as high as that of the lags.
    spread = model.spread
    width = 2 * np.sqrt(np.pi) * spread * np.exp(model.log_lag - spread * spread / 4)
    width = width + length[:, None]
    return np.asarray(events[:, :, None] * _rates_near(moments, model) * width)


def _with_indirect(
    moments: _Moments, found: _Candidates, weighed: _Weighed, model: _Model
) -> _Model:
    """Return the model with the shares and lags of ways through a third camera."""
    best = _best(found, weighed)
    parent = np.full(len(moments.start), -1)
    parent[found.after[best]] = found.before[best]
    after = np.flatnonzero(parent >= 0)
    after = after[parent[parent[after]] >= 0]
    before = parent[parent[after]]
    differs = moments.camera[before] != moments.camera[after]
    before, after = before[differs], after[differs]
    lag = np.maximum(moments.start[after] - moments.end[before], 0.0)
    ways = _Candidates(before, after, lag, np.zeros(len(lag), bool))
    moved = parent[before] >= 0
    weights = np.stack([~moved, moved]).astype(np.float64)
    cameras = len(model.rates)
    counts = _sums(moments, ways, weights, cameras)
    events = _events_of_each_kind(moments, weighed.moved, cameras)[:, :, None]
    log_lag, spread = _lag_and_spread(moments, ways, weights, cameras)
    share = np.where(counts >= _FEWEST_INDIRECT, counts / (events + _PRIOR_EVENTS), 0.0)
    return model._replace(indirect=share, indirect_log_lag=log_lag, indirect_spread=spread)


def _lag_and_spread(
    moments: _Moments, found: _Candidates, parts: Floats, cameras: int
) -> tuple[Floats, Floats]:
    """Return the mean and the deviation of the logarithm of the lag, by pair.

    Events that had moved and others are counted together: they move at the same speed.
    """
    both = np.repeat(parts.sum(axis=0, keepdims=True), 2, axis=0)
    x = np.log(found.lag_s + _OFFSET_S)
    counts = _sums(moments, found, both, cameras)
    mean = _means(
        counts, _sums(moments, found, both * x, cameras), np.log(_PRIOR_LAG_S + _OFFSET_S)
    )
    pair = moments.camera[found.before], moments.camera[found.after]
    squares = _sums(moments, found, both * (x - mean[:, *pair]) ** 2, cameras)
    variance = _means(counts, squares, _PRIOR_SPREAD**2)
    return mean, np.maximum(np.sqrt(variance), _LEAST_SPREAD)


def _sums(moments: _Moments, found: _Candidates, weights: Floats, cameras: int) -> Floats:
    """Return [moved, camera, next camera]: the sums of weights [moved, candidate]."""
    code = moments.camera[found.before] * cameras + moments.camera[found.after]
    sums = [np.bincount(code, one, cameras * cameras) for one in weights]
    return np.asarray(np.stack(sums).reshape(2, cameras, cameras), np.float64)


def _means(counts: Floats, sums: Floats, usual: float) -> Floats:
    """Return means by pair, drawn towards the mean of the home, and that towards `usual`."""
    home = (sums.sum() + usual) / (counts.sum() + 1)
    return np.asarray((sums + _PRIOR_EVENTS * home) / (counts + _PRIOR_EVENTS))


def _best(found: _Candidates, weighed: _Weighed) -> Places:
    """Return the candidates that are transitions: the most probable one of each event."""
    likely = np.flatnonzero(weighed.moved[found.after] > _LEAST_PROBABILITY)
    order = likely[np.lexsort((-weighed.each[likely], found.after[likely]))]
    _, first = np.unique(found.after[order], return_index=True)
    return order[first]


# --- frames -------------------------------------------------------------------------------------


def _pairs(
    names: list[str], moments: _Moments, found: _Candidates, weighed: _Weighed, model: _Model
) -> pd.DataFrame:
    """Return the frame of pairs, with the columns `PAIRS`."""
    cameras = len(names)
    moved, first, second = np.indices((2, cameras, cameras)).reshape(3, -1)
    events = _events_of_each_kind(moments, weighed.moved, cameras)
    counts = _sums(moments, found, _of_each_kind(moments, found, weighed, model), cameras)
    limit = _limits(model)
    chance = events[:, :, None] * _rates_near(moments, model) * np.nan_to_num(limit)
    texts = np.array(names, object)
    rows: pd.DataFrame = pd.DataFrame(
        {
            "camera": pd.Series(texts[first], dtype="str"),
            "next_camera": pd.Series(texts[second], dtype="str"),
            "has_moved": moved.astype(bool),
            "events": events[moved, first],
            "followed": counts.ravel(),
            "by_chance": chance.ravel(),
            "share": model.share.ravel(),
            "overlapping": model.overlapping.ravel(),
            "lag_s": np.exp(model.log_lag.ravel()) - _OFFSET_S,
            "spread": model.spread.ravel(),
            "limit_s": limit.ravel(),
            "indirect": model.indirect.ravel(),
            "indirect_lag_s": np.exp(model.indirect_log_lag.ravel()) - _OFFSET_S,
            "indirect_spread": model.indirect_spread.ravel(),
        },
        columns=list(PAIRS),
    )
    others: pd.DataFrame = rows[first != second]
    return others.reset_index(drop=True)


def _limits(model: _Model) -> Floats:
    """Return [moved, camera, next camera]: up to which lag a transition beats chance; or NaN."""
    mean_rate = model.rates.mean(axis=1)
    limit = np.full(model.share.shape, np.nan)
    for lag in np.arange(0.0, HORIZON_S + 1, 5.0):
        later = _lognormal(float(lag), model.log_lag, model.spread)
        is_likely = model.share * (1 - model.overlapping) * later > mean_rate
        limit = np.where(is_likely, lag, limit)
    return limit


def _rates_near(moments: _Moments, model: _Model) -> Floats:
    """Return [camera, next camera]: the mean rate of the second in the hours of the first."""
    cameras = len(model.rates)
    hours = np.zeros((cameras, 24))
    np.add.at(hours, (moments.camera, moments.hour), 1.0)
    share = hours / np.maximum(hours.sum(axis=1, keepdims=True), 1.0)
    return np.asarray(share @ model.rates.T)


def _rates(names: list[str], model: _Model) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "camera": pd.Series(np.repeat(np.array(names, object), 24), dtype="str"),
            "hour": np.tile(np.arange(24), len(names)),
            "per_second": model.rates.ravel(),
        }
    )


def _model_of(lags: TransitionLags) -> _Model:
    """Return the numbers of `lags` as arrays."""
    names = lags.cameras
    cameras = pd.Index(names, dtype=object)
    pairs = lags.pairs
    at = (
        pairs["has_moved"].to_numpy(np.int64),
        cameras.get_indexer(pd.Index(pairs["camera"], dtype=object)),
        cameras.get_indexer(pd.Index(pairs["next_camera"], dtype=object)),
    )
    shape = (2, len(names), len(names))

    def filled(values: pd.Series, default: float) -> Floats:
        numbers = np.full(shape, default)
        numbers[at] = values.to_numpy(np.float64)
        return numbers

    return _Model(
        filled(pairs["share"], 0.0),
        filled(pairs["overlapping"], 0.0),
        filled(np.log(pairs["lag_s"] + _OFFSET_S), 0.0),
        filled(pairs["spread"], 1.0),
        lags.rates["per_second"].to_numpy(np.float64).reshape(len(names), 24),
        filled(pairs["indirect"], 0.0),
        filled(np.log(pairs["indirect_lag_s"] + _OFFSET_S), 0.0),
        filled(pairs["indirect_spread"], 1.0),
    )
