import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.memory.MemoryCollection;
import de.bwaldvogel.mongo.bson.Document;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * A collection that narrows a query by one of its conditions before it reads documents.
 *
 * <p>The server uses an index only for a query that has exactly the fields of a unique index, and reads the whole
 * collection for any other. Here a condition on {@code _id}, or on one of the texts that a resource is found by, gives
 * candidates; each is still held against the whole query, so answers are the same.
 */
final class IndexedCollection extends MemoryCollection {
    private static final String ID = "_id";
    /** Where there are texts, or arrays of them. */
    private static final List<String> TEXTS = List.of("equal", "text", "id", "span.of");

    private final Map<String, NavigableMap<String, Set<Integer>>> positions = new HashMap<>();
    /** Under what each position stands in {@code positions}: the server changes documents in place. */
    private final Map<Integer, Map<String, List<String>>> listed = new HashMap<>();

    IndexedCollection(MongoDatabase database, String name, CollectionOptions options, CursorRegistry cursors) {
        super(database, name, options, cursors);
        TEXTS.forEach(field -> positions.put(field, new TreeMap<>()));
    }

    @Override
    protected QueryResult queryDocuments(
            Document query, Document orderBy, int skip, int limit, int batchSize, Document fields) {
        Collection<Integer> candidates = orderBy != null && orderBy.containsKey("$natural") ? null : candidates(query);
        return candidates == null
                ? super.queryDocuments(query, orderBy, skip, limit, batchSize, fields)
                : matchDocuments(query, candidates, orderBy, skip, limit, batchSize, fields);
    }

    /** Returns where all that matches stands, among others; the fewest that one condition leaves. Null: anywhere. */
    private Collection<Integer> candidates(Document query) {
        Collection<Integer> fewest = null;
        for (Map.Entry<String, Object> condition : query.entrySet()) {
            Collection<Integer> some = null;
            if (condition.getKey().equals("$and")) {
                for (Object each : (Collection<?>) condition.getValue()) {
                    some = fewer(some, candidates((Document) each));
                }
            } else if (condition.getKey().equals("$or")) {
                some = any((Collection<?>) condition.getValue());
            } else {
                some = where(condition.getKey(), condition.getValue());
            }
            fewest = fewer(fewest, some);
        }
        return fewest;
    }

    private static Collection<Integer> fewer(Collection<Integer> one, Collection<Integer> other) {
        return one == null || other != null && other.size() < one.size() ? other : one;
    }

    private Collection<Integer> any(Collection<?> queries) {
        Set<Integer> found = new TreeSet<>();
        for (Object each : queries) {
            Collection<Integer> some = candidates((Document) each);
            if (some == null) {
                return null;
            }
            found.addAll(some);
        }
        return found;
    }

    /** Returns where a field may meet a condition. */
    private Collection<Integer> where(String field, Object condition) {
        if (condition instanceof String || field.equals(ID) && condition instanceof Number) {
            return equal(field, List.of(condition));
        }
        if (!(condition instanceof Document)) {
            return null;
        }
        Document operators = (Document) condition;
        if (operators.keySet().equals(Set.of("$in"))) {
            return equal(field, (Collection<?>) operators.get("$in"));
        }
        if (operators.get("$elemMatch") instanceof Document) {
            Document element = (Document) operators.get("$elemMatch");
            return element.containsKey("of") ? where(field + ".of", element.get("of")) : between(field, element);
        }
        return null;
    }

    private Collection<Integer> equal(String field, Collection<?> values) {
        Set<Integer> found = new TreeSet<>();
        for (Object value : values) {
            if (field.equals(ID)) {
                identified(value).forEach(found::add);
            } else if (positions.containsKey(field) && value instanceof String) {
                found.addAll(positions.get(field).getOrDefault(value, Set.of()));
            } else {
                return null;
            }
        }
        return found;
    }

    private Collection<Integer> between(String field, Document bounds) {
        Object low = bounds.get("$gte");
        Object high = bounds.get("$lt");
        if (!positions.containsKey(field) || !(low instanceof String) || !(high instanceof String)) {
            return null;
        }
        Set<Integer> found = new TreeSet<>();
        positions.get(field).subMap((String) low, (String) high).values().forEach(found::addAll);
        return found;
    }

    private Iterable<Integer> identified(Object id) {
        for (Index<Integer> index : getIndexes()) {
            Document query = new Document(ID, id);
            if (index.getKeys().size() == 1 && index.getKeys().get(0).getKey().equals(ID) && index.canHandle(query)) {
                return index.getPositions(query);
            }
        }
        throw new IllegalStateException("a collection without an index of _id");
    }

    // --- what changes ------------------------------------------------------------------------------------------------

    @Override
    protected Integer addDocumentInternal(Document document) {
        Integer position = super.addDocumentInternal(document);
        list(position, document);
        return position;
    }

    @Override
    protected void removeDocument(Integer position) {
        super.removeDocument(position);
        unlist(position);
    }

    @Override
    protected void handleUpdate(Integer position, Document before, Document after) {
        super.handleUpdate(position, before, after);
        unlist(position);
        list(position, after);
    }

    private void list(Integer position, Document document) {
        Map<String, List<String>> own = new HashMap<>();
        for (String field : TEXTS) {
            List<String> texts = texts(document, field);
            texts.forEach(text -> positions.get(field).computeIfAbsent(text, any -> new TreeSet<>()).add(position));
            if (!texts.isEmpty()) {
                own.put(field, texts);
            }
        }
        listed.put(position, own);
    }

    private void unlist(Integer position) {
        Map<String, List<String>> own = listed.remove(position);
        if (own != null) {
            own.forEach((field, texts) -> texts.forEach(text -> positions.get(field).get(text).remove(position)));
        }
    }

    private static List<String> texts(Document document, String path) {
        List<String> found = new ArrayList<>();
        String[] names = path.split("\\.");
        Object value = document.get(names[0]);
        for (Object each : value instanceof Collection ? (Collection<?>) value : Arrays.asList(value)) {
            Object text = names.length > 1 && each instanceof Document ? ((Document) each).get(names[1]) : each;
            if (text instanceof String) {
                found.add((String) text);
            }
        }
        return found;
    }

    /** Nobody asks how large a collection is; to know it the server would measure each document again. */
    @Override
    protected boolean tracksDataSize() {
        return false;
    }
}
