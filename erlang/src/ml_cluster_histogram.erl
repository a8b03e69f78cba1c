%% @doc Counts and histograms by name and labels, on `counters': raised without a process, read
%% without stopping anybody.
%%
%% ```
%% ok = ml_cluster_histogram:observe(http_request, [{route, <<"/infer">>}], Microseconds),
%% ok = ml_cluster_histogram:count(http_response, [{route, <<"/infer">>}, {class, 2}], 1),
%% [{[{route, <<"/infer">>}], #{count := 1}}] = ml_cluster_histogram:snapshot(http_request),
%% [{[{route, <<"/infer">>}, {class, 2}], 1}] = ml_cluster_histogram:counts(http_response).
%% '''
%%
%% A series begins with its first observation. Each name has at most 4,096 of them: what comes with
%% further labels is counted under the same label names with `other' for every value, so labels that
%% come from outside cost a bounded amount of memory. Always give the labels of a name in the same
%% order. While the application is stopped nothing is counted and nothing raises.
%%
%% A table owns the series and lists them. Who counts finds one in a persistent term, which is read
%% without the table's lock: several are raised in each request.
-module(ml_cluster_histogram).

-export([new/0, observe/3, observe/4, count/3, snapshot/1, total/2, counts/1, forget/1, bounds/0]).
-export_type([name/0, labels/0, histogram/0]).

-type name() :: atom().
-type labels() :: [{atom(), term()}].
%% `sum' in microseconds. A bucket counts what was at most `UpTo' microseconds and more than the
%% bucket before it; `count' is the sum of the buckets, so the two never contradict each other.
-type histogram() :: #{
    count := non_neg_integer(),
    sum := non_neg_integer(),
    buckets := [{UpTo :: pos_integer() | infinity, non_neg_integer()}]
}.

-define(SERIES, 4096).
%% From an answer out of a worker's cache to the default deadline.
-define(BOUNDS, [
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,
    5000000, 10000000, 30000000
]).
-define(SUM, 1).
-define(FIRST_BUCKET, 2).

%% @doc Makes the table of the series, owned by the caller.
-spec new() -> ok.
new() ->
    %% Of a table that has ended with its owner.
    _ = [persistent_term:erase(Key) || {{?MODULE, _} = Key, _} <- persistent_term:get()],
    ?MODULE = ets:new(?MODULE, [named_table, public, set]),
    ok.

%% @doc Puts a duration into the histogram of these labels.
-spec observe(name(), labels(), non_neg_integer()) -> ok.
observe(Name, Labels, Microseconds) ->
    observe(Name, Labels, Microseconds, fun() -> true end).

%% @doc As observe/3, but a series that is not there yet begins only if `May' says so.
-spec observe(name(), labels(), non_neg_integer(), fun(() -> boolean())) -> ok.
observe(Name, Labels, Microseconds, May) ->
    case series({histogram, Name}, Labels, May) of
        none ->
            ok;
        Counters ->
            ok = counters:add(Counters, bucket(Microseconds, ?BOUNDS, ?FIRST_BUCKET), 1),
            counters:add(Counters, ?SUM, Microseconds)
    end.

%% @doc Raises the counter of these labels.
-spec count(name(), labels(), non_neg_integer()) -> ok.
count(Name, Labels, By) ->
    case series({counter, Name}, Labels, fun() -> true end) of
        none -> ok;
        Counters -> counters:add(Counters, 1, By)
    end.

%% @doc The histograms of a name, by labels.
-spec snapshot(name()) -> [{labels(), histogram()}].
snapshot(Name) ->
    [{Labels, histogram(Counters)} || {Labels, Counters} <- series({histogram, Name})].

%% @doc How many durations the histogram of these labels has.
-spec total(name(), labels()) -> non_neg_integer().
total(Name, Labels) ->
    try ets:lookup(?MODULE, {{histogram, Name}, Labels}) of
        [{_, Counters}] -> maps:get(count, histogram(Counters));
        [] -> 0
    catch
        error:badarg -> 0
    end.

%% @doc The counters of a name, by labels.
-spec counts(name()) -> [{labels(), non_neg_integer()}].
counts(Name) ->
    [{Labels, counters:get(Counters, 1)} || {Labels, Counters} <- series({counter, Name})].

%% @doc Drops all series that carry this label, whatever their name.
-spec forget({atom(), term()}) -> ok.
forget(Label) ->
    Found = [
        Key
     || {{_, Labels} = Key, _} <- ets:tab2list(?MODULE),
        is_list(Labels),
        lists:member(Label, Labels)
    ],
    lists:foreach(fun drop/1, Found).

%% @doc Upper bounds of the buckets in microseconds; one more bucket takes the rest.
-spec bounds() -> [pos_integer()].
bounds() -> ?BOUNDS.

bucket(Microseconds, [Bound | Rest], Index) when Microseconds > Bound ->
    bucket(Microseconds, Rest, Index + 1);
bucket(_, _, Index) ->
    Index.

histogram(Counters) ->
    UpTo = ?BOUNDS ++ [infinity],
    Last = ?FIRST_BUCKET + length(?BOUNDS),
    Counts = [counters:get(Counters, Index) || Index <- lists:seq(?FIRST_BUCKET, Last)],
    #{
        count => lists:sum(Counts),
        sum => counters:get(Counters, ?SUM),
        buckets => lists:zip(UpTo, Counts)
    }.

%% ---- Series ----

series(Family) ->
    try
        lists:sort([{Labels, C} || [Labels, C] <- ets:match(?MODULE, {{Family, '$1'}, '$2'})])
    catch
        error:badarg -> []
    end.

%% The counters of a series; `none' where it may not begin, or while the application is stopped.
series(Family, Labels, May) ->
    case persistent_term:get(term({Family, Labels}), none) of
        none -> begun(May(), Family, Labels);
        Counters -> Counters
    end.

term(Key) -> {?MODULE, Key}.

begun(false, _, _) ->
    none;
begun(true, Family, Labels) ->
    try
        Size = ets:update_counter(?MODULE, {size, Family}, 0, {{size, Family}, 0}),
        case Size < ?SERIES of
            true -> begun({Family, Labels});
            false -> begun({Family, [{Name, other} || {Name, _} <- Labels]})
        end
    catch
        %% No table: the application has stopped under a call that was still running.
        error:badarg -> none
    end.

%% Two processes may begin a series at once: one of them wins, and both use the winner's counters.
begun({Family, _} = Key) ->
    New = counters:new(width(Family), [write_concurrency]),
    case ets:insert_new(?MODULE, {Key, New}) of
        true ->
            _ = ets:update_counter(?MODULE, {size, Family}, 1),
            found(Key, New);
        false ->
            ets:lookup_element(?MODULE, Key, 2)
    end.

%% It may have been dropped meanwhile: a term that the table does not know would hide the series that
%% comes after it.
found(Key, Counters) ->
    ok = persistent_term:put(term(Key), Counters),
    _ = ets:member(?MODULE, Key) orelse persistent_term:erase(term(Key)),
    Counters.

width({counter, _}) -> 1;
width({histogram, _}) -> ?FIRST_BUCKET + length(?BOUNDS).

drop({Family, _} = Key) ->
    case ets:take(?MODULE, Key) of
        [_] ->
            _ = persistent_term:erase(term(Key)),
            _ = ets:update_counter(?MODULE, {size, Family}, -1),
            ok;
        [] ->
            ok
    end.
