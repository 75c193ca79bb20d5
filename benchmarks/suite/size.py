"""How large a row is: parameters in both conventions, and memory."""

from .rows import Rows


class Parameters(Rows):
    """One bias for each accumulator (canonical), or one for each row of W and of R (as torch and cuDNN count)."""

    unit = "parameters"

    def track_parameters(self, *row):
        return self.figure("parameters", *row)

    def track_parameters_two_bias(self, *row):
        return self.figure("parameters_two_bias", *row)


class Memory(Rows):
    """The peak of a worker process, in seeds that had no kernel to compile."""

    unit = "bytes"

    def track_peak_rss_bytes(self, *row):
        return self.figure("peak_rss_bytes", *row)
