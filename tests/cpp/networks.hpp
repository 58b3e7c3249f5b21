// Networks of every kind of sweep: small fields as a whole, large ones in tiles, bundles of
// samples, free matrices, and implicit layers.
#pragma once

#include <string>
#include <vector>

#include "grids.hpp"
#include "relaxon/network/config.hpp"
#include "relaxon/operators/dense/dense.hpp"
#include "relaxon/operators/stencil/adr.hpp"
#include "relaxon/operators/stencil/banded.hpp"
#include "relaxon/operators/stencil/moments.hpp"

namespace relaxon {

struct Case {
    const char* name;
    Shape shape;
    std::vector<Sides> sides;
    MaskKind mask;
    bool is_local, is_layered;
    AdrScheme scheme;
    OmegaKind omega;
    double beta;
    bool is_tiled;
};

inline NetworkConfig config_of(const Case& c) {
    NetworkConfig config;
    config.grid = make_grid(c.shape, c.sides, c.mask);
    config.op = adr(c.scheme, c.is_local, c.is_layered);
    config.dynamics = Explicit{11, c.omega, c.beta};
    config.activation = Activation::tanh;
    config.bias = c.is_local ? BiasKind::local : BiasKind::homogeneous;
    return config;
}

const Condition kFixed = dirichlet(0.25);

inline std::vector<Case> cases() {
    const AdrScheme central = AdrScheme::central;
    const AdrScheme upwind = AdrScheme::upwind;
    const AdrScheme lax_wendroff = AdrScheme::lax_wendroff;
    const Shape line{20000}, plane{300, 60}, solid{40, 24, 24};
    const auto sides = [](const Shape& shape, Condition low, Condition high) {
        return all_axes(shape, low, high);
    };
    const std::vector<Sides> mixed2{{kNeumann, kFixed}, {kPeriodic, kPeriodic}};
    const std::vector<Sides> mixed3{{kPeriodic, kPeriodic}, {kNeumann, kFixed}, {kFixed, kNeumann}};
    return {
        {"small 1-D",
         {37},
         sides({37}, kNeumann, kFixed),
         MaskKind::none,
         false,
         false,
         central,
         OmegaKind::scalar,
         0.0,
         false},
        {"small 2-D",
         {9, 14},
         mixed2,
         MaskKind::neumann,
         true,
         false,
         lax_wendroff,
         OmegaKind::cell,
         0.1,
         false},
        {"small 3-D",
         {5, 6, 7},
         mixed3,
         MaskKind::dirichlet,
         false,
         true,
         upwind,
         OmegaKind::layer,
         0.0,
         false},
        {"line, periodic", line, sides(line, kPeriodic, kPeriodic), MaskKind::none, false, false,
         central, OmegaKind::scalar, 0.0, true},
        {"line, Neumann, mask, local", line, sides(line, kNeumann, kNeumann), MaskKind::neumann,
         true, false, upwind, OmegaKind::cell, 0.0, true},
        {"line, periodic, mask, layered", line, sides(line, kPeriodic, kPeriodic),
         MaskKind::dirichlet, false, true, lax_wendroff, OmegaKind::layer, 0.0, true},
        {"line, Dirichlet, beta", line, sides(line, kFixed, kFixed), MaskKind::none, false, false,
         central, OmegaKind::scalar, 0.01, true},
        {"plane, periodic", plane, sides(plane, kPeriodic, kPeriodic), MaskKind::none, false, false,
         central, OmegaKind::scalar, 0.0, true},
        {"plane, Neumann and Dirichlet, mask, local", plane, mixed2, MaskKind::neumann, true, false,
         lax_wendroff, OmegaKind::scalar, 0.0, true},
        {"solid, periodic", solid, sides(solid, kPeriodic, kPeriodic), MaskKind::none, false, false,
         central, OmegaKind::scalar, 0.0, true},
        {"solid, mixed, mask, local", solid, mixed3, MaskKind::dirichlet, true, false, upwind,
         OmegaKind::layer, 0.0, true},
        {"solid, Neumann, beta", solid, sides(solid, kNeumann, kNeumann), MaskKind::none, false,
         false, central, OmegaKind::cell, 0.01, true},
    };
}

inline NetworkConfig dense_config(bool has_mask, bool is_layered) {
    NetworkConfig config;
    config.grid = make_grid({6, 5}, all_axes({6, 5}, kNeumann, kNeumann),
                            has_mask ? MaskKind::neumann : MaskKind::none);
    config.op = dense(is_layered);
    config.dynamics = Explicit{11, has_mask ? OmegaKind::cell : OmegaKind::layer, 0.05};
    config.activation = Activation::softplus;
    config.bias = BiasKind::local;
    return config;
}

struct Named {
    std::string name;
    NetworkConfig config;
    std::int64_t batch;
    std::vector<std::int64_t> at;
};

// Local coefficients on a plane with a mask.
inline NetworkConfig local_plane(const Shape& shape) {
    NetworkConfig plane;
    plane.grid = make_grid(shape, {{kNeumann, kFixed}, {kPeriodic, kPeriodic}}, MaskKind::neumann);
    plane.op = adr(AdrScheme::central, true, false);
    plane.dynamics = Explicit{11};
    plane.activation = Activation::tanh;
    plane.bias = BiasKind::local;
    return plane;
}

// Small fields with samples enough for lanes, the last of them not full.
inline std::vector<Named> laned_networks() {
    const NetworkConfig plane = local_plane({5, 6});
    NetworkConfig followed = plane;  // local weights of homogeneous coefficients
    followed.op = adr(AdrScheme::lax_wendroff, false, false);
    followed.dynamics = Explicit{11, OmegaKind::cell};
    NetworkConfig line = plane;
    line.grid = make_grid({23}, {{kPeriodic, kPeriodic}}, MaskKind::dirichlet);
    NetworkConfig layered;
    layered.grid = make_grid({17}, {{kNeumann, kFixed}});
    layered.op = moments(4, false, true);
    layered.dynamics = Explicit{11, OmegaKind::layer};
    layered.activation = Activation::silu;
    layered.bias = BiasKind::homogeneous;
    NetworkConfig solid = plane;
    solid.grid =
        make_grid({3, 4, 3}, {{kPeriodic, kPeriodic}, {kNeumann, kFixed}, {kFixed, kNeumann}},
                  MaskKind::dirichlet);
    solid.op = adr(AdrScheme::upwind, true, false);
    return {{"lanes, plane", plane, 300, {4, 11}},
            {"lanes, omega per cell", followed, 277, {4, 11}},
            {"lanes, line", line, 258, {4, 11}},
            {"lanes, layered moments", layered, 258, {4, 11}},
            {"lanes, solid", solid, 259, {4, 11}}};
}

// Local coefficients and samples enough for bundles, the last of them not full.
inline std::vector<Named> bundled_networks() {
    const NetworkConfig plane = local_plane({9, 14});
    NetworkConfig line = plane;
    line.grid = make_grid({20000}, {{kPeriodic, kPeriodic}}, MaskKind::neumann);
    line.dynamics = Explicit{11, OmegaKind::cell};
    return {{"bundles of whole fields", plane, 70, {4, 11}},
            {"bundles of cut fields", line, 5, {4, 11}}};
}

// A lift, a readout or both around layers of every kind of sweep.
inline std::vector<Named> ended_networks() {
    const auto with_ends = [](Named network, bool has_lift, bool has_readout) {
        network.name += has_lift ? ", lift" : "";
        network.name += has_readout ? ", readout" : "";
        if (has_lift) network.config.lift = {5, Activation::tanh};
        if (has_readout) network.config.readout = {3, Activation::softplus};
        return network;
    };
    const Named lanes = laned_networks()[0];
    const Named bundles = bundled_networks()[0], tiles = bundled_networks()[1];
    const Named dense{"dense, mask", dense_config(true, false), 19, {4, 11}};
    Named segments{"several segments", local_plane({300, 60}), 1, {11}};
    segments.config.dynamics = Explicit{40};
    segments.at = {40};
    return {with_ends(lanes, true, true),     with_ends(bundles, false, true),
            with_ends(tiles, true, true),     with_ends(dense, true, true),
            with_ends(segments, true, false), with_ends(segments, false, true)};
}

// Drive and hard normalisation over every kind of sweep.
inline std::vector<Named> driven_networks() {
    const auto with = [](Named network, bool drive, Normalization normalization) {
        network.name += drive ? ", drive" : "";
        network.name += normalization == Normalization::hard ? ", hard" : "";
        network.config.dynamics =
            Explicit{network.config.depth(), network.config.omega(), 0.0, drive, normalization};
        return network;
    };
    const Normalization none = Normalization::none, hard = Normalization::hard;
    Named lanes = laned_networks()[0];
    lanes.batch = 290;  // tangent and cotangent of 300 are all but orthogonal
    const Named bundles = bundled_networks()[0], tiles = bundled_networks()[1];
    const Named dense{"dense, mask", dense_config(true, false), 7, {4, 11}};
    Named segments{"segments, periodic", local_plane({300, 60}), 1, {11}};
    segments.config.grid = make_grid({300, 60}, {{kPeriodic, kPeriodic}, {kNeumann, kFixed}});
    Named implicit{"implicit", local_plane({5, 6}), 3, {4, 11}};
    implicit.config.dynamics = Theta{11, OmegaKind::scalar, 0.0, 0.5, true, hard};
    Named line = implicit;
    line.name += ", line";
    line.config.grid = make_grid({23}, {{kNeumann, kFixed}}, MaskKind::neumann);
    Named ended = with(bundles, true, none);
    ended.name += ", ends";
    ended.config.lift = {5, Activation::tanh};
    ended.config.readout = {3, Activation::softplus};
    return {with(lanes, true, none),
            with(bundles, true, none),
            with(tiles, true, none),
            with(segments, true, none),
            with(tiles, false, hard),
            with(bundles, true, hard),
            with(dense, true, none),
            with(dense, false, hard),
            implicit,
            line,
            ended};
}

// Implicit layers: lines of few cells, which samples share, and of many, which workers do; one
// factorisation for all layers, and one for each; planes.
inline std::vector<Named> implicit_networks() {
    NetworkConfig line = local_plane({5, 6});
    line.grid = make_grid({23}, {{kNeumann, kFixed}}, MaskKind::neumann);
    line.dynamics = Theta{3, OmegaKind::cell, 0.0, 0.5};
    NetworkConfig circle;
    circle.grid = make_grid({17000}, {{kPeriodic, kPeriodic}});
    circle.op = adr(AdrScheme::upwind, false, false);
    circle.dynamics = Theta{3, OmegaKind::scalar, 0.01, 1.0};
    circle.activation = Activation::tanh;
    circle.bias = BiasKind::homogeneous;
    NetworkConfig linear = circle;
    linear.grid = make_grid({37}, {{kPeriodic, kPeriodic}}, MaskKind::dirichlet);
    linear.activation = Activation::identity;
    linear.dynamics = Theta{3, OmegaKind::scalar, 0.0, 1.0};
    NetworkConfig layered = linear;
    layered.grid = make_grid({1030}, {{kFixed, kNeumann}});
    layered.op = banded(1, true, true);
    layered.dynamics = Theta{3, OmegaKind::layer, 0.0, 0.5};
    NetworkConfig plane = local_plane({5, 6});
    plane.dynamics = Theta{3, OmegaKind::scalar, 0.0, 1.0};
    return {{"implicit, line", line, 19, {2, 3}},
            {"implicit, long circle", circle, 1, {2, 3}},
            {"implicit, one factorisation", linear, 5, {2, 3}},
            {"implicit, a factorisation per layer", layered, 3, {2, 3}},
            {"implicit, plane", plane, 2, {2, 3}}};
}

inline std::vector<Named> networks() {
    std::vector<Named> list = bundled_networks();
    for (const Named& network : driven_networks()) list.push_back(network);
    for (const Named& network : implicit_networks()) list.push_back(network);
    for (const Named& network : ended_networks()) list.push_back(network);
    for (const Named& network : laned_networks()) list.push_back(network);
    for (const Case& c : cases()) {
        list.push_back({c.name, config_of(c), c.is_tiled ? 1 : 3, {4, 11}});
    }
    for (const Named& network : {laned_networks()[1], ended_networks()[0], ended_networks()[3]}) {
        list.push_back(network);
        list.back().name += ", gamma";
        list.back().config.gamma_dt = 1.3;
    }
    NetworkConfig recovered = dense_config(true, false);
    recovered.activation = Activation::tanh;
    recovered.dynamics = Explicit{11};
    list.push_back({"dense, f recovered", recovered, 3, {4, 11}});
    for (const bool has_mask : {false, true}) {
        for (const bool is_layered : {false, true}) {
            const std::string name =
                std::string("dense") + (has_mask ? ", mask" : "") + (is_layered ? ", layered" : "");
            list.push_back({name, dense_config(has_mask, is_layered), 3, {4, 11}});
        }
    }
    for (const bool is_banded : {false, true}) {
        NetworkConfig config;
        config.grid = make_grid({20000}, {{kNeumann, kFixed}}, MaskKind::neumann);
        config.op = is_banded ? banded(2, false, false) : moments(4, false, false);
        config.dynamics = Explicit{11};
        config.activation = Activation::tanh;
        list.push_back({is_banded ? "banded" : "moments", config, 1, {4, 11}});
    }
    NetworkConfig deep;  // several segments before the first target
    deep.grid = make_grid({9000}, {{kPeriodic, kPeriodic}});
    deep.op = banded(4, true, false);
    deep.dynamics = Explicit{90};
    deep.activation = Activation::tanh;
    list.push_back({"several segments", deep, 1, {90}});
    return list;
}

}  // namespace relaxon
