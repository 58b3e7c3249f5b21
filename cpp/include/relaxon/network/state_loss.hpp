// A loss that needs a whole state at once, such as that of a readout behind it. The sweep leaves
// states with targets in `states` and takes their cotangents from `cotangents`; cells of masked
// ones are zero, and are not read.
#pragma once

#include <cstdint>

namespace relaxon {

template <class T>
class StateLoss {
public:
    virtual ~StateLoss() = default;

    // Both (batch, n_at, cells).
    virtual T* states() = 0;
    virtual const T* cotangents() const = 0;

    // For target number `place` of the samples [first, first + n): their losses, n_at entries
    // apart, and if asked for the cotangents of their states. Called at the same time for different
    // samples.
    virtual void evaluate(std::int64_t place, std::int64_t first, std::int64_t n,
                          bool wants_cotangents, double* losses) = 0;
};

}  // namespace relaxon
