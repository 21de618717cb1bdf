//! The contract portolan:routing@0.2.0 (wit/v0.2/routing.wit) in Zig: types, and the canonical ABI of components. What the host
//! hands over is valid until the function returns: copy what is kept. Not to be changed.
const std = @import("std");
const plugin = @import("plugin.zig");

/// A text or a list, as the contract has it.
pub fn List(comptime T: type) type {
    return extern struct {
        ptr: [*]const T = undefined,
        len: usize = 0,

        pub fn of(items: []const T) @This() {
            return .{ .ptr = items.ptr, .len = items.len };
        }
        pub fn slice(self: @This()) []const T {
            return if (self.len == 0) &.{} else self.ptr[0..self.len];
        }
    };
}
pub const Text = List(u8);

pub fn Option(comptime T: type) type {
    return extern struct {
        some: bool = false,
        value: T = undefined,

        pub fn get(self: @This()) ?T {
            return if (self.some) self.value else null;
        }
    };
}

pub const Inputs = struct {
    pub const fields: u16 = 1;
    pub const method: u16 = 1 << 1;
    pub const country: u16 = 1 << 2;
    pub const location: u16 = 1 << 3;
    pub const asn: u16 = 1 << 4;
    pub const net: u16 = 1 << 5;
    pub const minute: u16 = 1 << 6;
    pub const round_trips: u16 = 1 << 7;
    pub const load: u16 = 1 << 8;
};
pub const Point = extern struct { latitude: f32, longitude: f32 };
pub const Health = enum(u8) { unknown, healthy, warming, unhealthy, draining };
pub const Affinity = enum(u8) { configured, off, on };
pub const Level = enum(u32) { trace, debug, info, warn, err };

pub const Setup = extern struct {
    needs: u16 = 0,
    fields: List(Text) = .{},
    vary: Option(u16) = .{},
    reasons: List(Text) = .{},
    counters: List(Text) = .{},
    request_headers: List(Text) = .{},
};
pub const Region = extern struct {
    name: Text,
    country: u16,
    health: Health,
    location: Option(Point),
    round_trip_us: Option(u32),
    share_permille: u32,
    max_requests: Option(u32),
    priority: u32,
    weight: u32,
    cost: Option(f32),
    tags: List(Text),
};
pub const Snapshot = struct { generation: u64, service: []const u8, regions: []const Region };
pub const Estimate = extern struct { round_trip_us: u32, in_flight: u32 };
pub const Request = struct {
    method: u8,
    fields: []const u8,
    eligible: []const u8,
    /// One for each of `eligible`; empty unless asked for.
    estimates: []const Estimate,
    country: u16,
    location: ?Point,
    asn: u32,
    net: u64,
    minute: u32,
    roll: u32,

    /// The value of a field by its position in `Setup.fields`; empty when it is missing.
    pub fn field(self: Request, position: usize) []const u8 {
        var lines = std.mem.splitScalar(u8, self.fields, '\n');
        for (0..position) |_| _ = lines.next();
        return lines.next() orelse "";
    }
};
pub const Header = extern struct { header: u8, value: Text };
/// The answer: no opinion until it is filled in.
pub const Decision = extern struct {
    order: List(u8) = .{},
    only: bool = false,
    reject: Option(u16) = .{},
    affinity: Affinity = .configured,
    headers: List(Header) = .{},
    reason: u16 = 0,
};

/// Names for `Setup`.
pub fn texts(comptime names: []const []const u8) List(Text) {
    const Names = struct {
        const all = blk: {
            var list: [names.len]Text = undefined;
            for (names, 0..) |name, i| list[i] = Text.of(name);
            break :blk list;
        };
    };
    return List(Text).of(&Names.all);
}

extern "portolan:routing/host@0.2.0" fn log(level: u32, ptr: [*]const u8, len: usize) void;
extern "portolan:routing/host@0.2.0" fn header(ptr: [*]const u8, len: usize, result: *Option(Text)) void;
extern "portolan:routing/host@0.2.0" fn count(counter: u32, delta: u32) void;

pub const host = struct {
    /// Writes a line to the proxy's log.
    pub fn writeLine(level: Level, line: []const u8) void {
        log(@intFromEnum(level), line.ptr, line.len);
    }
    /// A request header that `Setup.fields` does not name.
    pub fn requestHeader(name: []const u8) ?[]const u8 {
        var result: Option(Text) = .{};
        header(name.ptr, name.len, &result);
        return if (result.get()) |value| value.slice() else null;
    }
    /// Adds to a counter by its position in `Setup.counters`.
    pub fn addTo(counter: u32, delta: u32) void {
        count(counter, delta);
    }
};

// What the host hands over lies behind the data, and is gone when the call ends: nothing is ever freed.
extern const __heap_base: u8;
var top: usize = 0;

export fn cabi_realloc(old: ?[*]const u8, old_len: usize, alignment: usize, len: usize) [*]u8 {
    if (top == 0) top = @intFromPtr(&__heap_base);
    const start = std.mem.alignForward(usize, top, alignment);
    const have = @wasmMemorySize(0) * std.wasm.page_size;
    const end = start + len;
    if (end > have and @wasmMemoryGrow(0, (end - have + std.wasm.page_size - 1) / std.wasm.page_size) < 0) @trap();
    top = end;
    const block: [*]u8 = @ptrFromInt(start);
    if (old) |from| @memcpy(block[0..@min(old_len, len)], from[0..@min(old_len, len)]);
    return block;
}

var configured: extern struct { failed: bool, setup: Setup } = undefined;
var rejected: extern struct { failed: u32, message: Text } = undefined;
var decision: Decision = .{};

export fn @"portolan:routing/plugin@0.2.0#configure"(ptr: [*]const u8, len: usize) *const anyopaque {
    defer top = 0;
    var setup: Setup = .{};
    if (plugin.configure(if (len == 0) "" else ptr[0..len], &setup)) |message| {
        rejected = .{ .failed = 1, .message = Text.of(message) };
        return &rejected;
    }
    configured = .{ .failed = false, .setup = setup };
    return &configured;
}

export fn @"portolan:routing/plugin@0.2.0#update"(generation: u64, service: [*]const u8, service_len: usize, regions: [*]const Region, len: usize) void {
    defer top = 0;
    plugin.update(.{
        .generation = generation,
        .service = (Text{ .ptr = service, .len = service_len }).slice(),
        .regions = (List(Region){ .ptr = regions, .len = len }).slice(),
    });
}

export fn @"portolan:routing/plugin@0.2.0#route"(
    method: u32,
    fields: [*]const u8,
    fields_len: usize,
    eligible: [*]const u8,
    eligible_len: usize,
    has_estimates: u32,
    estimates: [*]const Estimate,
    estimates_len: usize,
    country: u32,
    has_location: u32,
    latitude: f32,
    longitude: f32,
    asn: u32,
    net: u64,
    minute: u32,
    roll: u32,
) *const Decision {
    defer top = 0;
    decision = plugin.route(.{
        .method = @truncate(method),
        .fields = (Text{ .ptr = fields, .len = fields_len }).slice(),
        .eligible = (Text{ .ptr = eligible, .len = eligible_len }).slice(),
        .estimates = if (has_estimates == 0) &.{} else (List(Estimate){ .ptr = estimates, .len = estimates_len }).slice(),
        .country = @truncate(country),
        .location = if (has_location == 0) null else .{ .latitude = latitude, .longitude = longitude },
        .asn = asn,
        .net = net,
        .minute = minute,
        .roll = roll,
    });
    return &decision;
}

/// The message of a panic, in the proxy's log, before the trap.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        host.writeLine(.err, message);
        @trap();
    }
}.panic);
