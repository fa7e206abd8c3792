import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

import org.postgresql.PGConnection;
import org.postgresql.largeobject.LargeObjectManager;

/**
 * What applications do with PostgreSQL's JDBC driver: batches, rewritten and not, fetch sizes, savepoints of
 * its own, COPY, large objects (which are function calls), notifications. Arguments: port, user.
 */
public class Jdbc
{
	private static String url;
	private static String user;

	/** Connects, with settings of the driver. */
	private static Connection connect(String application, String... settings) throws SQLException
	{
		Properties properties = new Properties();

		properties.setProperty("user", user);
		properties.setProperty("ApplicationName", application);
		for (int i = 0; i + 1 < settings.length; i += 2)
			properties.setProperty(settings[i], settings[i + 1]);
		return DriverManager.getConnection(url, properties);
	}

	/** Inserts so many rows in one batch; returns the sum of the update counts. */
	private static int batch(Connection connection, int from, int rows) throws SQLException
	{
		int sum = 0;

		try (PreparedStatement insert = connection.prepareStatement("insert into jdbc_rows values (?, ?)"))
		{
			for (int i = from; i < from + rows; i++)
			{
				insert.setInt(1, i);
				insert.setString(2, "row " + i);
				insert.addBatch();
			}
			for (int count : insert.executeBatch())
				sum += count == Statement.SUCCESS_NO_INFO ? 1 : count;
		}
		return sum;
	}

	/** Batches: one that succeeds, one that fails in the middle, one of the same statement with other types. */
	private static void batches() throws SQLException
	{
		try (Connection connection = connect("jdbc batch"))
		{
			System.out.println("batch " + batch(connection, 0, 500));
			try
			{
				batch(connection, 900, 200);
			}
			catch (BatchUpdateException e)
			{
				System.out.println("batch failed " + e.getSQLState());
			}
			connection.setAutoCommit(false);
			System.out.println("batch in a transaction " + batch(connection, 500, 100));
			connection.commit();
		}
		try (Connection connection = connect("jdbc rewritten", "reWriteBatchedInserts", "true"))
		{
			System.out.println("rewritten " + batch(connection, 600, 200));
		}
	}

	/** A result that is fetched a few rows at a time, and a statement that becomes a named one. */
	private static void fetches() throws SQLException
	{
		int rows = 0;

		try (Connection connection = connect("jdbc fetch", "prepareThreshold", "3"))
		{
			connection.setAutoCommit(false);
			try (Statement statement = connection.createStatement())
			{
				statement.setFetchSize(10);
				try (ResultSet result = statement.executeQuery("select n from jdbc_rows where n < 95"))
				{
					while (result.next())
						rows++;
				}
			}
			System.out.println("fetched " + rows);
			try (PreparedStatement select = connection.prepareStatement("select s from jdbc_rows where n = ?"))
			{
				for (int i = 0; i < 6; i++)
				{
					select.setInt(1, i);
					try (ResultSet result = select.executeQuery())
					{
						result.next();
						if (i == 5)
							System.out.println("prepared " + result.getString(1));
					}
				}
			}
			connection.commit();
		}
	}

	/** Errors in a transaction that goes on, by the driver's own savepoints. */
	private static void savepoints() throws SQLException
	{
		try (Connection connection = connect("jdbc autosave", "autosave", "always");
		     Statement statement = connection.createStatement())
		{
			connection.setAutoCommit(false);
			statement.execute("select 1");
			try
			{
				statement.execute("select 1 / 0");
			}
			catch (SQLException e)
			{
				System.out.println("error " + e.getSQLState());
			}
			statement.execute("select 'goes on'; select 2");
			try (ResultSet result = statement.getResultSet())
			{
				result.next();
				System.out.println(result.getString(1) + " " + statement.getMoreResults());
			}
			connection.commit();
		}
	}

	/** COPY both ways, a large object, a notification. */
	private static void others() throws Exception
	{
		try (Connection connection = connect("jdbc others"); Statement statement = connection.createStatement())
		{
			PGConnection own = connection.unwrap(PGConnection.class);
			StringWriter out = new StringWriter();

			System.out.println("copied "
			    + own.getCopyAPI().copyIn("copy jdbc_rows from stdin", new StringReader("800\ta\n801\tb\n")));
			own.getCopyAPI().copyOut("copy (select n from jdbc_rows where n >= 800) to stdout", out);
			System.out.println("copied out " + out.toString().length());
			connection.setAutoCommit(false);
			LargeObjectManager objects = own.getLargeObjectAPI();
			long object = objects.createLO(LargeObjectManager.READWRITE);
			objects.delete(object);
			statement.execute("listen jdbc; notify jdbc, 'said'");
			connection.commit();
			System.out.println("notified " + own.getNotifications()[0].getParameter());
		}
	}

	public static void main(String[] arguments) throws Exception
	{
		url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/postgres";
		user = arguments[1];
		try (Connection connection = connect("jdbc"); Statement statement = connection.createStatement())
		{
			statement.execute("create table if not exists jdbc_rows (n int check (n < 1000), s text)");
		}
		batches();
		fetches();
		savepoints();
		others();
	}
}
