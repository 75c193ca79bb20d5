"""What a row has learned after the default budget."""

from .rows import Rows


class Accuracy(Rows):
    """The task's score, averaged over the seeds; lower is better for every task of the grids."""

    unit = "score"

    def track_score(self, *row):
        return self.figure("score", *row)
