package notes;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** An application that does nothing. */
@SpringBootApplication
public class Notes {
  public static void main(String[] words) {
    SpringApplication.run(Notes.class, words);
  }
}
