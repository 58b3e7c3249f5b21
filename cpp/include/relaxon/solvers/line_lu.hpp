// A = L U of a matrix of three points on a line, by stretches (line_cut.hpp): factorised once, then
// any number of solves with A and its transpose. 14 flops per cell to factorise, 10 to solve.
//
// What couples a row to the joint of its piece falls off with the distance, and is dropped where it
// is below the square of the rounding error. Where A has the same entries in many rows, so has then
// its factorisation, and only the rows before are read.
#pragma once

#include "relaxon/base/parallel.hpp"
#include "relaxon/operators/three_point.hpp"
#include "relaxon/solvers/line_joints.hpp"

namespace relaxon {

// f(stretch) for those of a line: on the team's threads, or, where it is null, on the caller's.
template <class T, class F>
void for_each_stretch(const LineCut<T>& cut, Team* team, const F& f) {
    if (team) {
        team->parallel_for(cut.n_stretches(), [&](std::int64_t i, int) { f(cut.stretch(i)); });
        return;
    }
    for (std::int64_t i = 0; i < cut.n_stretches(); ++i) f(cut.stretch(i));
}

template <class T>
class LineLu {
public:
    // Of one solve.
    struct Work {
        Joints<T> joints;
    };

    explicit LineLu(std::int64_t n) : cut_(n) {}

    const LineCut<T>& cut() const { return cut_; }
    void carve(Arena& arena);
    Work carve_work(Arena& arena) const;

    // Where the matrix is put, in the order of cells; factorise overwrites it.
    ThreePoint<T> matrix() const {
        return {cut_.n(), packed_.lower, packed_.diagonal, packed_.upper};
    }
    // Whether it can be done without row exchanges: every diagonal entry outweighs its row.
    bool factorise(Team* team);
    // x = A^-1 b, or with the transpose; x may be b.
    void solve(const T* b, T* x, Work& work, Team* team) const;
    void solve_transposed(const T* b, T* x, Work& work, Team* team) const;

private:
    LineCut<T> cut_;
    ThreePoint<T> packed_;
    T *ratio_ = nullptr, *fill_ = nullptr, *inverse_ = nullptr, *bottom_ = nullptr;
    std::int64_t* settled_ = nullptr;  // of a stretch: the place from which on rows are the same
    Joints<T> joints_;
};

}  // namespace relaxon
