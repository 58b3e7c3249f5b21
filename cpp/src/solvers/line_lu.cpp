#include "relaxon/solvers/line_lu.hpp"

#include <atomic>

#include "relaxon/solvers/line_elimination.hpp"

namespace relaxon {

template <class T>
void LineLu<T>::carve(Arena& arena) {
    packed_.carve(arena, cut_.length());
    for (T** array : {&ratio_, &fill_, &inverse_, &bottom_}) *array = arena.take<T>(cut_.length());
    joints_.carve(arena, cut_);
}

template <class T>
typename LineLu<T>::Work LineLu<T>::carve_work(Arena& arena) const {
    Work work{};
    work.x = arena.take<T>(cut_.length());
    work.joints.carve(arena, cut_);
    return work;
}

template <class T>
bool LineLu<T>::factorise(const ThreePoint<const T>& matrix, Team* team) {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    std::atomic<bool> is_dominant{true};
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* lower = packed_.lower + stretch.first;
        T* diagonal = packed_.diagonal + stretch.first;
        T* upper = packed_.upper + stretch.first;
        pack(stretch, matrix.lower, lower);
        pack(stretch, matrix.diagonal, diagonal);
        pack(stretch, matrix.upper, upper);
        for (std::int64_t lane = stretch.n_pieces; lane < lanes; ++lane) diagonal[lane] = T(1);
        Mask<T> fails = {};
        const auto look = [&](std::int64_t i) {
            fails |= ~(abs(load(diagonal + i)) >= abs(load(lower + i)) + abs(load(upper + i)));
        };
        look(0);
        LineElimination<T> rows(load(lower), load(diagonal), load(upper));
        for (std::int64_t i = lanes; i < stretch.rows * lanes; i += lanes) {
            look(i);
            rows.take(load(lower + i), load(diagonal + i), load(upper + i));
            store(ratio_ + stretch.first + i, rows.ratio());
            store(fill_ + stretch.first + i, rows.fill());
            store(inverse_ + stretch.first + i, rows.inverse());
            store(bottom_ + stretch.first + i, rows.bottom());
        }
        rows.finish(stretch, joints_);
        if (any(fails)) is_dominant = false;
    });
    if (!is_dominant) return false;
    joints_.close_factors();
    std::fill(joints_.right, joints_.right + joints_.n, T(0));
    std::fill(joints_.last_value, joints_.last_value + joints_.n, T(0));
    return joints_.solve();
}

namespace {

// The factorisation's numbers of the joints, beside a right side of their own.
template <class T>
Joints<T> with_own_right(const Joints<T>& factors, const Joints<T>& own) {
    Joints<T> joints = own;
    joints.lower = factors.lower;
    joints.diagonal = factors.diagonal;
    joints.upper = factors.upper;
    joints.last_ratio = factors.last_ratio;
    joints.last_fill = factors.last_fill;
    joints.last_inverse = factors.last_inverse;
    return joints;
}

}  // namespace

template <class T>
void LineLu<T>::solve(const T* b, T* x, Work& work, Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    Joints<T> joints = with_own_right(joints_, work.joints);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* value = work.x + stretch.first;
        const T* lower = packed_.lower + stretch.first;
        const T* inverse = inverse_ + stretch.first;
        const T* bottom = bottom_ + stretch.first;
        pack(stretch, b, value);
        Pack<T> right = load(value), before = {};
        for (std::int64_t i = lanes; i < stretch.rows * lanes; i += lanes) {
            before = (load(value + i) - load(lower + i) * before) * load(inverse + i);
            right -= load(bottom + i) * before;
            store(value + i, before);
        }
        store(joints.right + stretch.piece, right);
        store(joints.last_value + stretch.piece, before);
    });
    joints.solve();
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* value = work.x + stretch.first;
        substitute(stretch, joints, value, fill_ + stretch.first, ratio_ + stretch.first,
                   [&](std::int64_t i, Pack<T> at) { store(value + i, at); });
        unpack(stretch, value, x);
    });
}

template <class T>
void LineLu<T>::solve_transposed(const T* b, T* x, Work& work, Team* team) const {
    constexpr std::int64_t lanes = LineCut<T>::kLanes;
    Joints<T> joints = with_own_right(joints_, work.joints);
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* value = work.x + stretch.first;
        const T* ratio = ratio_ + stretch.first;
        const T* fill = fill_ + stretch.first;
        pack(stretch, b, value);
        Pack<T> right = load(value), before = {}, before_ratio = {};
        for (std::int64_t i = lanes; i < stretch.rows * lanes; i += lanes) {
            before = load(value + i) - before_ratio * before;
            before_ratio = load(ratio + i);
            right -= load(fill + i) * before;
            store(value + i, before);
        }
        store(joints.right + stretch.piece, right);
        store(joints.last_value + stretch.piece, before);
    });
    joints.solve_transposed();
    for_each_stretch(cut_, team, [&](const Stretch& stretch) {
        T* value = work.x + stretch.first;
        const T* lower = packed_.lower + stretch.first;
        const T* inverse = inverse_ + stretch.first;
        const T* bottom = bottom_ + stretch.first;
        const Pack<T> joint = load_up_to(joints.x + stretch.piece, stretch.n_pieces);
        Pack<T> after = load(joints.x + stretch.piece + 1);
        Pack<T> below = load(joints.lower + stretch.piece + 1);
        for (std::int64_t i = (stretch.rows - 1) * lanes; i > 0; i -= lanes) {
            after =
                ((load(value + i) - load(bottom + i) * joint) - below * after) * load(inverse + i);
            below = load(lower + i);
            store(value + i, after);
        }
        store(value, joint);
        unpack(stretch, value, x);
    });
}

template class LineLu<float>;
template class LineLu<double>;

}  // namespace relaxon
