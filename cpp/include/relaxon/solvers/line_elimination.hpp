// Elimination of the insides of the pieces of a stretch (line_cut.hpp), all lanes at a time and
// row after row, without row exchanges: for matrices whose diagonal outweighs the other entries of
// every row, or of every column. With the joint of a piece as its last row and column, A = L U,
//
//     pivot[i] = diagonal[i] - lower[i] ratio[i - 1],   ratio[i] = upper[i] / pivot[i]
//     fill[i] = -lower[i] fill[i - 1] / pivot[i]        (U, joint's column; fill[0] = -1)
//     bottom[i + 1] = -bottom[i] ratio[i]               (L, joint's row; bottom[1] = upper[0]).
#pragma once

#include "relaxon/solvers/line_joints.hpp"

namespace relaxon {

// Begins at the joint; then take every row of the piece.
template <class T>
class LineElimination {
public:
    LineElimination(Pack<T> lower, Pack<T> diagonal, Pack<T> upper)
        : ratio_(broadcast(T(0))), fill_(broadcast(T(-1))), inverse_(broadcast(T(0))),
          bottom_(upper), before_bottom_(upper), lower_(lower), diagonal_(diagonal) {}

    [[gnu::always_inline]] void take(Pack<T> lower, Pack<T> diagonal, Pack<T> upper) {
        inverse_ = T(1) / (diagonal - lower * ratio_);
        fill_ = -(lower * fill_) * inverse_;
        ratio_ = upper * inverse_;
        diagonal_ -= bottom_ * fill_;
        before_bottom_ = bottom_;
        bottom_ = -(bottom_ * ratio_);
    }

    // Of the row taken last.
    Pack<T> ratio() const { return ratio_; }
    Pack<T> fill() const { return fill_; }
    Pack<T> inverse() const { return inverse_; }
    Pack<T> bottom() const { return before_bottom_; }

    // When all are taken.
    void finish(const Stretch& stretch, const Joints<T>& joints) const {
        store(joints.lower + stretch.piece, lower_);
        store(joints.diagonal + stretch.piece, diagonal_);
        store(joints.upper + stretch.piece, bottom_);
        store(joints.last_ratio + stretch.piece, ratio_);
        store(joints.last_fill + stretch.piece, fill_);
        store(joints.last_inverse + stretch.piece, inverse_);
    }

private:
    Pack<T> ratio_, fill_, inverse_, bottom_, before_bottom_, lower_, diagonal_;
};

// The last rows of the solution of a stretch, from those of the joints: body(place, x) for the
// places of rows, the joint last; value, fill and ratio begin at the stretch's first row.
template <class T, class Body>
[[gnu::always_inline]] inline void substitute(const Stretch& stretch, const Joints<T>& joints,
                                              const T* value, const T* fill, const T* ratio,
                                              const Body& body) {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    const Pack<T> joint = load_up_to(joints.x + stretch.piece, stretch.n_pieces);
    Pack<T> x = load(joints.last_x + stretch.piece);
    if (stretch.rows > 1) body((stretch.rows - 1) * lanes, x);
    for (std::int64_t place = (stretch.rows - 2) * lanes; place > 0; place -= lanes) {
        x = (load(value + place) - load(fill + place) * joint) - load(ratio + place) * x;
        body(place, x);
    }
    body(0, joint);
}

}  // namespace relaxon
