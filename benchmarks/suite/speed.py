"""How long a row takes: a batch at inference, a single step, a training step, and training until it has learned."""

from .rows import Rows


class Inference(Rows):
    """A batch of the test split: the median over all rounds of all processes, and the quartiles."""

    def track_infer_seconds(self, *row):
        return self.figure("infer_seconds", *row)

    def track_infer_seconds_q25(self, *row):
        return self.figure("infer_seconds_q25", *row)

    def track_infer_seconds_q75(self, *row):
        return self.figure("infer_seconds_q75", *row)


class Streaming(Rows):
    """One time step of one sequence."""

    def track_latency_p50_seconds(self, *row):
        return self.figure("latency_p50_seconds", *row)

    def track_latency_p99_seconds(self, *row):
        return self.figure("latency_p99_seconds", *row)


class Training(Rows):
    """The median step, and the time to the score that counts as learned: n/a unless every seed gets there."""

    def track_train_step_seconds(self, *row):
        return self.figure("train_step_seconds", *row)

    def track_seconds_to_learn(self, *row):
        return self.figure("seconds_to_learn", *row)
