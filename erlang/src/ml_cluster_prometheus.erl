%% @doc The counters in Prometheus' text format (version 0.0.4).
-module(ml_cluster_prometheus).

-export([text/0]).

%% @doc The whole exposition.
-spec text() -> iodata().
text() ->
    Workers = ml_cluster:workers(),
    [
        counter("ml_cluster_calls_total", "Calls by how they were served.", [
            {[{"served", Name}], ml_cluster_metrics:get(Counter)}
         || {Name, Counter} <- served()
        ]),
        counter("ml_cluster_texts_total", "Texts embedded.", [{[], ml_cluster_metrics:get(texts)}]),
        counter("ml_cluster_texts_cached_total", "Texts answered from a worker's cache.", [
            {[], ml_cluster_metrics:get(cached)}
        ]),
        gauge("ml_cluster_worker_up", "1 for a worker that takes calls.", [
            {worker(W), is_up(W)}
         || W <- Workers
        ]),
        gauge("ml_cluster_worker_in_flight", "Calls sent to a worker and not answered.", [
            {worker(W), maps:get(in_flight, W)}
         || W <- Workers
        ]),
        gauge("ml_cluster_worker_load_seconds", "Wait of a new text, as the worker reported.", [
            {worker(W), maps:get(load, W)}
         || W <- Workers
        ]),
        counter("ml_cluster_worker_attempts_total", "Attempts by worker and outcome.", [
            {worker(W) ++ [{"outcome", atom_to_list(Outcome)}], maps:get(Outcome, W)}
         || W <- Workers, Outcome <- [answered, refused, failed]
        ]),
        counter("ml_cluster_http_responses_total", "Responses by route and class.", responses()),
        histograms()
    ].

served() ->
    [{"distributed", distributed}, {"local", local_fallback}, {"error", errors}].

worker(#{node := Node}) -> [{"worker", atom_to_list(Node)}].

is_up(#{state := up}) -> 1;
is_up(_) -> 0.

responses() ->
    [
        {[{"route", binary_to_list(Route)}, {"class", integer_to_list(Class) ++ "xx"}], Count}
     || {Route, Classes} <- lists:sort(maps:to_list(ml_cluster_metrics:responses())),
        {Class, Count} <- Classes
    ].

counter(Name, Help, Samples) -> family(Name, Help, "counter", Samples).
gauge(Name, Help, Samples) -> family(Name, Help, "gauge", Samples).

family(Name, Help, Type, Samples) ->
    [header(Name, Help, Type), [sample(Name, Labels, Value) || {Labels, Value} <- Samples]].

header(Name, Help, Type) ->
    ["# HELP ", Name, " ", Help, "\n# TYPE ", Name, " ", Type, "\n"].

histograms() ->
    Name = "ml_cluster_http_request_seconds",
    [
        header(Name, "Time to answer by route.", "histogram"),
        [
            histogram(Name, {"route", binary_to_list(Route)}, Histogram)
         || {Route, Histogram} <- lists:sort(maps:to_list(ml_cluster_metrics:histograms()))
        ]
    ].

%% The count is the sum of the buckets, so that the two never contradict each other.
histogram(Name, Label, {Buckets, Sum}) ->
    Bounds = [number(Bound) || Bound <- ml_cluster_metrics:bounds()] ++ ["+Inf"],
    {Total, Lines} = lists:foldl(
        fun({Bound, Count}, {Before, Acc}) ->
            Line = sample(Name ++ "_bucket", [Label, {"le", Bound}], Before + Count),
            {Before + Count, [Acc, Line]}
        end,
        {0, []},
        lists:zip(Bounds, Buckets)
    ),
    [Lines, sample(Name ++ "_sum", [Label], Sum), sample(Name ++ "_count", [Label], Total)].

sample(Name, [], Value) ->
    [Name, " ", number(Value), "\n"];
sample(Name, Labels, Value) ->
    Pairs = [[Key, "=\"", escaped(Text), "\""] || {Key, Text} <- Labels],
    [Name, "{", lists:join(",", Pairs), "} ", number(Value), "\n"].

number(Value) when is_integer(Value) -> integer_to_list(Value);
number(Value) -> io_lib_format:fwrite_g(Value).

escaped(Text) -> [escape(C) || C <- lists:flatten(Text)].

escape($\\) -> "\\\\";
escape($") -> "\\\"";
escape($\n) -> "\\n";
escape(C) -> C.
