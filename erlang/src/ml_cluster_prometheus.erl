%% @doc The counters in the formats that Prometheus scrapes: its text format (version 0.0.4) and
%% OpenMetrics (1.0.0), which differ in the names of counters and in the end.
-module(ml_cluster_prometheus).

-export([negotiate/1, content_type/1, text/1]).
-export_type([format/0]).

-type format() :: text | openmetrics.

%% @doc The format that an Accept header asks for. Prometheus names OpenMetrics where it takes it;
%% what names neither, as a browser's header, is no scraper's, and neither is what would rather have
%% JSON, or as soon.
-spec negotiate(binary()) -> {ok, format()} | none.
negotiate(Accept) ->
    Ranges = [range(Range) || Range <- binary:split(Accept, <<",">>, [global])],
    Quality = fun(Type) -> lists:max([0.0 | [Q || {Name, Q} <- Ranges, Name =:= Type]]) end,
    OpenMetrics = Quality(<<"application/openmetrics-text">>),
    Text = Quality(<<"text/plain">>),
    case max(OpenMetrics, Text) > Quality(<<"application/json">>) of
        true when OpenMetrics > 0.0 -> {ok, openmetrics};
        true -> {ok, text};
        false -> none
    end.

%% A media range and its weight (RFC 9110, 12.4.2).
range(Range) ->
    Parts = binary:split(Range, <<";">>, [global]),
    [Name | Parameters] = [ml_cluster_ascii:trim(Part) || Part <- Parts],
    {ml_cluster_ascii:lowercase(Name), weight(Parameters)}.

weight(Parameters) ->
    case [Value || <<Q, "=", Value/binary>> <- Parameters, Q =:= $q orelse Q =:= $Q] of
        [Value | _] -> quality(string:to_float(<<Value/binary, ".0">>));
        [] -> 1.0
    end.

%% "0.5" or "1": what comes after the number is no part of it.
quality({Weight, _}) when is_float(Weight), Weight >= 0.0, Weight =< 1.0 -> Weight;
quality(_) -> 0.0.

-spec content_type(format()) -> binary().
content_type(text) -> <<"text/plain; version=0.0.4; charset=utf-8">>;
content_type(openmetrics) -> <<"application/openmetrics-text; version=1.0.0; charset=utf-8">>.

%% @doc The whole exposition.
-spec text(format()) -> iodata().
text(text) ->
    [family(text, Family) || Family <- families()];
text(openmetrics) ->
    [[family(openmetrics, Family) || Family <- families()], "# EOF\n"].

%% {Name, Help, Type, Samples}; a counter's name without `_total'.
families() ->
    Workers = ml_cluster:workers(),
    [
        counter("ml_cluster_calls", "Calls by how they were served.", [
            {[{"served", Name}], ml_cluster_metrics:get(Counter)}
         || {Name, Counter} <- served()
        ]),
        counter("ml_cluster_texts", "Texts embedded.", [{[], ml_cluster_metrics:get(texts)}]),
        counter("ml_cluster_texts_cached", "Texts answered from a worker's cache.", [
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
        counter("ml_cluster_worker_attempts", "Attempts by worker and outcome.", [
            {worker(W) ++ [{"outcome", atom_to_list(Outcome)}], maps:get(Outcome, W)}
         || W <- Workers, Outcome <- ml_cluster_metrics:outcomes()
        ]),
        counter("ml_cluster_http_responses", "Responses by route and class.", responses()),
        gauge("ml_cluster_http_connections", "Open connections of the front's HTTP server.", [
            {[], Adapter:connections()}
         || #{adapter := Adapter} <- [ml_cluster_config:get(http, false)], Adapter =/= none
        ]),
        histogram("ml_cluster_http_request_seconds", "Time to answer by route.", http_request),
        histogram("ml_cluster_call_seconds", "Time of a call by function and outcome.", call),
        histogram(
            "ml_cluster_worker_seconds", "Time of an attempt by worker and outcome.", worker_request
        )
    ].

served() ->
    [{"distributed", distributed}, {"local", local_fallback}, {"error", errors}].

worker(#{node := Node}) -> [{"worker", atom_to_list(Node)}].

is_up(#{state := up}) -> 1;
is_up(_) -> 0.

responses() ->
    [
        {[{"route", text_of(Route)}, {"class", integer_to_list(Class) ++ "xx"}], Count}
     || {[{route, Route}, {class, Class}], Count} <- ml_cluster_histogram:counts(http_response)
    ].

counter(Name, Help, Samples) -> {Name, Help, "counter", Samples}.
gauge(Name, Help, Samples) -> {Name, Help, "gauge", Samples}.

histogram(Name, Help, Of) ->
    {Name, Help, "histogram", [
        {[{atom_to_list(Label), text_of(Value)} || {Label, Value} <- Labels], Histogram}
     || {Labels, Histogram} <- ml_cluster_histogram:snapshot(Of)
    ]}.

text_of(Text) when is_binary(Text) -> binary_to_list(Text);
text_of(Atom) when is_atom(Atom) -> atom_to_list(Atom).

family(Format, {Name, Help, "counter", Samples}) ->
    [
        header(counter_family(Format, Name), Help, "counter"),
        [sample(Name ++ "_total", Labels, Value) || {Labels, Value} <- Samples]
    ];
family(_, {Name, Help, "histogram", Samples}) ->
    [header(Name, Help, "histogram"), [buckets(Name, Labels, H) || {Labels, H} <- Samples]];
family(_, {Name, Help, Type, Samples}) ->
    [header(Name, Help, Type), [sample(Name, Labels, Value) || {Labels, Value} <- Samples]].

counter_family(text, Name) -> Name ++ "_total";
counter_family(openmetrics, Name) -> Name.

header(Name, Help, Type) ->
    ["# HELP ", Name, " ", Help, "\n# TYPE ", Name, " ", Type, "\n"].

buckets(Name, Labels, #{buckets := Buckets, sum := Sum, count := Count}) ->
    {UpTo, _} = lists:mapfoldl(
        fun({Bound, In}, Before) -> {{Bound, Before + In}, Before + In} end, 0, Buckets
    ),
    [
        [sample(Name ++ "_bucket", Labels ++ [{"le", bound(Bound)}], N) || {Bound, N} <- UpTo],
        sample(Name ++ "_sum", Labels, Sum / 1.0e6),
        sample(Name ++ "_count", Labels, Count)
    ].

bound(infinity) -> "+Inf";
bound(Microseconds) -> number(Microseconds / 1.0e6).

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
