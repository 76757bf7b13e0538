"""A two-sample test by classifier: can a random forest tell fake from real?"""

import numpy as np

from adiff.judge import subset

MOST = 500  # examples of each set


def forest_accuracy(real, fake, *, seed=0, folds=5) -> float:
  """Held-out accuracy of a random forest on real [n, ...] against fake [m, ...].

  0.5 means indistinguishable, 1 trivially different (Lopez-Paz and Oquab 2017, arXiv:1610.06545).
  Both sets are thinned to equal counts, MOST at most, spread over them: fifteen seconds on one core
  for 3,072 values. Exact copies score *below* 0.5, since the twin of a held-out example was trained
  on with the other label: compare against real data the generator has not seen. Raises ValueError
  when a set has fewer examples than folds.
  """
  from sklearn import ensemble, model_selection  # seconds to import, for this alone

  num = min(len(real), len(fake), MOST)
  if folds < 2 or num < folds:
    raise ValueError(
      f'{num} examples cannot be cut into {folds} folds; pass more samples, or 2 folds or more'
    )
  sides = [
    np.asarray(x)[subset.spread(len(x), num)].reshape(num, -1) for x in (real, fake)
  ]
  forest = ensemble.RandomForestClassifier(n_estimators=100, random_state=seed, n_jobs=-1)
  cut = model_selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
  labels = np.repeat([0, 1], num)
  scores = model_selection.cross_val_score(
    forest, np.concatenate(sides), labels, cv=cut, scoring='accuracy'
  )
  return float(scores.mean())
