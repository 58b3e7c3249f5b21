// Distance of one state from its target and the cotangent that it starts: per cell those of
// loss_table.hpp, and of a vector of n outputs from its class, for whole vectors only:
//
//     cross entropy   log sum_k exp(z_k) - z_label
#pragma once

#include <cstdint>
#include <string_view>

#include "relaxon/base/error.hpp"
#include "relaxon/base/sum.hpp"
#include "relaxon/domain/layout.hpp"
#include "relaxon/pointwise/loss_table.hpp"

namespace relaxon {

enum class LossKind {
#define RELAXON_ENTRY(kind, text, Distance) kind,
    RELAXON_DISTANCES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
        cross_entropy
};

// Those of single cells.
inline constexpr LossKind kDistances[] = {
#define RELAXON_ENTRY(kind, text, Distance) LossKind::kind,
    RELAXON_DISTANCES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

// The loss of that name; false, and kind untouched, where there is none.
bool parse(std::string_view text, LossKind& kind);

struct Loss {
    LossKind kind = LossKind::squared;
    double scale = 1.0;
};

// f(distance) for that of a loss of single cells, from loss_table.hpp.
template <class T, class F>
void with_distance(const Loss& loss, const F& f) {
    switch (loss.kind) {
#define RELAXON_ENTRY(kind, text, Distance)                                                        \
    case LossKind::kind:                                                                           \
        return f(distances::Distance(loss.scale));
        RELAXON_DISTANCES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    case LossKind::cross_entropy:
        break;
    }
    require(false, "loss", "one of single cells", static_cast<int>(loss.kind));
}

// One target of one sample: y and weights (null: ones) in C order; cells outside `mask` (null: all
// exist) or of weight 0 are not read from y.
template <class T>
struct StateTarget {
    const T* y;
    const T* weights;
    const std::uint8_t* mask;
    Loss loss;
};

// sum_i w_i d(z_i - y_i) over the rows; lambda_i += scale w_i d'(z_i - y_i) where lambda is given.
// z and lambda are padded fields, or one lane of them. flops 5 (squared), bytes 5 sizeof(T) per
// cell.
template <class T>
OrderedSum distance(const Layout& layout, const StateTarget<T>& target, const T* z, double scale,
                    T* lambda, Rows rows);

// The same for a state of n cells without ghosts.
template <class T>
OrderedSum distance(const StateTarget<T>& target, const T* z, double scale, T* lambda,
                    std::int64_t n);

// Cross entropy of softmax(z) over n classes; lambda_k = scale (softmax(z)_k - [k = label]) where
// lambda is given. Sums are kept in double. flops 4 and one exp per class.
template <class T>
double cross_entropy(const T* z, std::int64_t label, double scale, T* lambda, std::int64_t n);

}  // namespace relaxon
