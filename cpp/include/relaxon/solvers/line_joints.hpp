// What is left of a line (line_cut.hpp) when the insides of its pieces are eliminated: the first
// cell of each piece, its joint, in a system of three points round a circle. A line whose ends do
// not see each other is a circle with zeros there.
//
// Inside a piece, cells follow from the joints before and after it,
//
//     x[i] = value[i] - fill[i] x[joint] - ratio[i] x[i + 1],
//
// the last one's x[i + 1] being the next joint.
#pragma once

#include <cmath>
#include <cstdint>

#include "relaxon/solvers/line_cut.hpp"

namespace relaxon {

// Numbers of every piece. Each array may be read one place before its first and, by a pack, beyond
// its last; what stands there is that of the neighbour round the circle.
template <class T>
struct Joints {
    std::int64_t n = 0;
    // The joint's row: its neighbour before, its own after the elimination, the joint after.
    T *lower, *diagonal, *upper, *right;
    // Of the piece's last cell. Where the joint is the only cell: ratio and value 0, fill -1.
    T *last_ratio, *last_fill, *last_value, *last_inverse;
    T *x, *last_x;  // the solution there
    T *z, *last_z;  // a state there
    T* ring[4];     // of the reduced system, and what its elimination needs

    void carve(Arena& arena, const LineCut<T>& cut) {
        n = cut.n_pieces();
        constexpr std::int64_t lanes = LineCut<T>::kLanes;
        for (T** array :
             {&lower, &diagonal, &upper, &right, &last_ratio, &last_fill, &last_value,
              &last_inverse, &x, &last_x, &z, &last_z, ring, ring + 1, ring + 2, ring + 3}) {
            T* start = arena.take_zeroed<T>(round_up(n, lanes) + 2 * lanes);
            *array = arena.is_measuring() ? nullptr : start + lanes;
        }
    }

    void close(T* array) const {
        array[-1] = array[n - 1];
        array[n] = array[0];
    }

    // After an elimination, whatever right sides follow.
    void close_factors() const {
        for (T* array : {lower, upper, last_ratio, last_fill}) close(array);
    }

    // x and last_x of the system, both closed; false where it has none.
    bool solve();
    // The same with the transpose, where right and last_value belong to it: x alone.
    bool solve_transposed();

private:
    bool solve_ring(const T* below, const T* own, const T* above, const T* b);
};

// below[k] x[k - 1] + own[k] x[k] + above[k] x[k + 1] = b[k] round the circle, k = 0 last: without
// row exchanges, which rows whose diagonal outweighs the others do not need.
template <class T>
bool Joints<T>::solve_ring(const T* below, const T* own, const T* above, const T* b) {
    T* ratio = ring[0];
    T* fill = ring[1];
    T bottom = n > 1 ? above[0] : T(0);
    T corner = n > 1 ? own[0] : own[0] + below[0] + above[0];
    T rest = b[0];
    T before_ratio = T(0), before_fill = T(-1), before_value = T(0);
    T check = T(0);
    for (std::int64_t k = 1; k < n; ++k) {
        const T inverse = T(1) / (own[k] - below[k] * before_ratio);
        before_fill = -below[k] * before_fill * inverse;
        before_value = (b[k] - below[k] * before_value) * inverse;
        before_ratio = above[k] * inverse;
        if (k == n - 1) {
            before_fill += before_ratio;
            before_ratio = T(0);
            bottom += below[0];
        }
        corner -= bottom * before_fill;
        rest -= bottom * before_value;
        bottom *= -before_ratio;
        fill[k] = before_fill;
        ratio[k] = before_ratio;
        x[k] = before_value;
        check += inverse - inverse;
    }
    x[0] = rest / corner;
    check += T(1) / corner - T(1) / corner;
    T after = x[0];
    for (std::int64_t k = n - 1; k > 0; --k) {
        after = (x[k] - fill[k] * x[0]) - ratio[k] * after;
        x[k] = after;
    }
    close(x);
    return check == T(0);
}

template <class T>
bool Joints<T>::solve() {
    close(last_value);
    T *below = last_x, *own = ring[2], *b = ring[3];
    for (std::int64_t k = 0; k < n; ++k) {
        below[k] = -lower[k] * last_fill[k - 1];
        own[k] = diagonal[k] - lower[k] * last_ratio[k - 1];
        b[k] = right[k] - lower[k] * last_value[k - 1];
    }
    const bool is_solved = solve_ring(below, own, upper, b);
    for (std::int64_t k = 0; k < n; ++k) {
        last_x[k] = (last_value[k] - last_fill[k] * x[k]) - last_ratio[k] * x[k + 1];
    }
    close(last_x);
    return is_solved;
}

template <class T>
bool Joints<T>::solve_transposed() {
    close(last_value);
    T *above = last_x, *own = ring[2], *b = ring[3];
    for (std::int64_t k = 0; k < n; ++k) {
        above[k] = -lower[k + 1] * last_fill[k];
        own[k] = diagonal[k] - lower[k] * last_ratio[k - 1];
        b[k] = right[k] - last_ratio[k - 1] * last_value[k - 1];
    }
    return solve_ring(upper - 1, own, above, b);
}

}  // namespace relaxon
