import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryCollection;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import java.io.IOException;
import java.util.List;

/** Serves MongoDB's wire protocol from memory on a free loopback port; says the port, ends when its input does. */
public final class Main {
    /** What drivers of today accept; the server's own table of versions stops before it. */
    private static final class Version implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    private static final class Database extends MemoryDatabase {
        Database(String name, CursorRegistry cursors) {
            super(name, cursors);
        }

        @Override
        protected MemoryCollection openOrCreateCollection(String name, CollectionOptions options) {
            return new IndexedCollection(this, name, options, cursorRegistry);
        }
    }

    private static final class Backend extends MemoryBackend {
        @Override
        public MemoryDatabase openOrCreateDatabase(String name) {
            return new Database(name, getCursorRegistry());
        }
    }

    public static void main(String[] arguments) throws IOException {
        MongoServer server = new MongoServer(new Backend().version(new Version()));
        System.out.println(server.bind().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // nothing is said to it: it waits for the end of whoever started it
        }
        server.shutdownNow();
        System.exit(0);
    }
}
