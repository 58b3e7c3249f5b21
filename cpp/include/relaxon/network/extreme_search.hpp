// Looks through the states of one sample, layer by layer, for the first value that is no number.
#pragma once

#include <cmath>
#include <cstdint>

#include "relaxon/network/sweep.hpp"

namespace relaxon {

class ExtremeSearch {
public:
    explicit ExtremeSearch(std::int64_t sample) { found_.sample = sample; }

    bool goes_on() const { return found_.is_finite; }

    void start_layer(std::int64_t layer) {
        layer_ = layer;
        before_ = largest_;
        largest_ = 0.0;
    }

    // n cells, `step` entries apart.
    template <class T>
    void look(const T* z, std::int64_t step, std::int64_t cell, std::int64_t n) {
        for (std::int64_t i = 0; i < n && found_.is_finite; ++i) {
            const double size = std::abs(static_cast<double>(z[i * step]));
            const bool is_finite = std::isfinite(size);
            largest_ = is_finite && size > largest_ ? size : largest_;
            if (is_finite && size <= found_.magnitude) continue;
            found_.is_finite = is_finite;
            found_.layer = layer_;
            found_.cell = cell + i;
            found_.magnitude = is_finite ? size : before_;
            found_.growth = before_ > 0.0 ? size / before_ : 1.0;
        }
    }

    // The earliest failure, or the largest value while there is none.
    void add_to(Extreme& worst) const {
        const bool is_worse = found_.is_finite == worst.is_finite
                                  ? (found_.is_finite ? found_.magnitude > worst.magnitude
                                                      : found_.layer < worst.layer)
                                  : !found_.is_finite;
        if (is_worse) worst = found_;
    }

private:
    Extreme found_;
    std::int64_t layer_ = 0;
    double before_ = 0.0, largest_ = 0.0;
};

}  // namespace relaxon
