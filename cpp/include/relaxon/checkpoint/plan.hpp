// What a sweep will keep and compute again, decided before it runs from shapes and the budget
// alone. Integers only. The budget decides how often layers are evaluated, never their results.
#pragma once

#include <cstdint>
#include <vector>

namespace relaxon {

// Layer evaluations of one sample's gradient.
struct Evaluations {
    std::int64_t advances = 0;   // forward steps, first pass and recomputation
    std::int64_t reversals = 0;  // steps of the adjoint, each of which evaluates its layer once
    std::int64_t outputs = 0;    // forward steps to the last state, which only a loss needs

    std::int64_t total() const { return advances + reversals + outputs; }
};

struct Plan {
    std::int64_t n_layers = 0;          // layers that the sweep reaches
    std::int64_t segment = 1;           // layers per step of the schedule
    std::int64_t n_snapshots = 0;       // stored states per block in flight, the input not counted
    std::int64_t blocks_in_flight = 1;  // blocks of samples worked on at the same time
    bool store_all = true;
    Evaluations evaluations;
    std::int64_t state_bytes = 0;    // one snapshot
    std::int64_t fixed_bytes = 0;    // coefficients, gradient sums and returned arrays
    std::int64_t block_bytes = 0;    // one block in flight, its snapshots included
    std::int64_t minimum_bytes = 0;  // the least budget that would do
    std::int64_t total_bytes = 0;
};

// Layers grouped into segments, the steps of the schedule. No segment reaches over a layer with
// targets, so that cotangents enter between segments.
class SegmentMap {
public:
    SegmentMap() = default;
    // at: layers with targets, the highest of them the last layer that matters; first: the layer
    // that the states come into.
    SegmentMap(std::vector<std::int64_t> at, std::int64_t length, std::int64_t first = 0);

    std::int64_t first() const { return first_; }
    std::int64_t end() const { return end_; }
    std::int64_t n_layers() const { return end_ - first_; }
    std::int64_t n_segments() const { return n_segments_; }
    std::int64_t length() const { return length_; }
    // First layer of segment i; end for i = n_segments. Asked several times per step of a schedule.
    std::int64_t begin(std::int64_t i) const { return length_ == 1 ? first_ + i : find_begin(i); }

private:
    struct Piece {
        std::int64_t first_segment, first_layer, end_layer;
    };
    std::int64_t find_begin(std::int64_t i) const;

    std::vector<Piece> pieces_;
    std::int64_t first_ = 0, end_ = 0, n_segments_ = 0, length_ = 1;
};

// The sizes from which a plan follows.
struct PlanInput {
    SegmentMap segments;
    std::int64_t max_blocks = 1;  // most blocks that can be in flight
    std::int64_t fixed_bytes = 0;
    std::int64_t block_bytes = 0;  // of a block without snapshots
    std::int64_t state_bytes = 0;
    std::int64_t slot_bytes = 0;     // bookkeeping per snapshot
    std::int64_t memory_bytes = -1;  // budget, -1: none
    bool has_gradient = false;
    bool has_output = false;      // the last state is evaluated for a loss
    bool has_state_loss = false;  // which then sees it whole: before its segment, not inside
};

// In layers. A segment that is reversed is first advanced over inside, but for its last layer.
// Where segments are single layers, advances are the closed form of schedule.hpp.
Evaluations count_evaluations(const PlanInput& input, std::int64_t n_snapshots);

// Throws BudgetError below the minimum. Of all numbers of blocks in flight that fit, the one with
// the fewest evaluations per block and worker wins.
Plan make_plan(const PlanInput& input);

}  // namespace relaxon
